//! The wire rules of the egress, each against a server written for it.

mod bodies;
mod connections;
mod fixture;
mod forms;
mod http1;
mod http2;
mod lists;
mod tls;
