//! `clusterarium serve` on loopback, as clients see it: over plain HTTP, with certificates, and with Debian's kubectl where it is there.

mod client;
mod http;
mod kubectl;
mod program;
mod streams;
mod tls;
