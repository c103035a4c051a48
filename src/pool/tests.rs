//! Behaviour of the whole pool.
