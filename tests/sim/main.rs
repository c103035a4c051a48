//! Tests on a paused clock, without sockets.

mod engine;
mod world;
