//! The floor to compare with: a bare loop that connects to every entry and hangs up.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::crowd::CONNECT_TIMEOUT;

/// Connects to the addresses in the list at `path`, `concurrency` at a time; prints how many took it.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) {
    let path = arguments.next().expect("a list");
    let concurrency: usize = arguments
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    let list = std::fs::read_to_string(path).expect("the list");
    let addresses: Vec<SocketAddr> = list
        .lines()
        .filter_map(|line| {
            line.rsplit(['/', '@'])
                .next()?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let reached = runtime.block_on(async {
        let slots = Arc::new(Semaphore::new(concurrency));
        let mut tasks = JoinSet::new();
        let mut reached = 0u64;
        for address in addresses {
            let slot = slots.clone().acquire_owned().await.expect("open");
            tasks.spawn(async move {
                let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
                drop(slot);
                matches!(connected, Ok(Ok(_)))
            });
            while let Some(joined) = tasks.try_join_next() {
                reached += u64::from(joined.expect("a task"));
            }
        }
        while let Some(joined) = tasks.join_next().await {
            reached += u64::from(joined.expect("a task"));
        }
        reached
    });
    println!("{reached}");
}
