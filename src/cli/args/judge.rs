//! Flags of `judge`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use super::words::some;
use crate::error::Problem;
use crate::lab::JudgeLimits;
use crate::limit::Quota;

/// `--listen --listen-tls --tls --key --client-rate --client-burst --max-connections --max-client-connections`.
#[derive(Args)]
#[command(next_help_heading = "Judge")]
pub struct JudgeArgs {
    /// Listen here for http
    ///
    /// An address of this machine and a port; 0.0.0.0 is every IPv4 address, [::] every address, port 0 any free one. May be
    /// given more than once. No default: this or --listen-tls is needed.
    ///
    /// Example: --listen 127.0.0.1:8000
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub listen: Vec<SocketAddr>,

    /// Listen here for https
    ///
    /// As --listen; needs --tls. By default there is no https.
    ///
    /// Example: --listen-tls 0.0.0.0:443
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub listen_tls: Vec<SocketAddr>,

    /// Certificate chain and private key for --listen-tls
    ///
    /// Two PEM files with a comma between. SIGHUP reads them again. No default.
    ///
    /// Example: --tls fullchain.pem,privkey.pem
    #[arg(long, value_name = "CERT,KEY", value_parser = pair)]
    pub tls: Option<(PathBuf, PathBuf)>,

    /// Keep the key that signs answers in this file
    ///
    /// PKCS#8 as PEM. A file that is not there is made, readable by its owner only. By default there is a new key at each start,
    /// and clients that have learned the old one take the answers for forged.
    ///
    /// Example: --key judge.key
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Requests of one client, per time
    ///
    /// A client is an IPv4 address or an IPv6 /64. What is beyond is answered with 429 and Retry-After.
    ///
    /// Example: --client-rate 600/m
    #[arg(long, value_name = "N/TIME", default_value = "50/s")]
    pub client_rate: Quota,

    /// Requests that one client may have saved up
    ///
    /// A whole number, 1 or more.
    ///
    /// Example: --client-burst 1000
    #[arg(long, value_name = "N", default_value_t = JudgeLimits::default().burst, value_parser = some)]
    pub client_burst: NonZeroU32,

    /// Connections of one client at the same time
    ///
    /// Further ones are closed at once.
    ///
    /// Example: --max-client-connections 512
    #[arg(long, value_name = "N", default_value_t = number(JudgeLimits::default().connections_per_client), value_parser = some)]
    pub max_client_connections: NonZeroU32,

    /// Connections of all clients at the same time
    ///
    /// Further ones are closed at once. Fewer when the system allows fewer open files.
    ///
    /// Example: --max-connections 20000
    #[arg(long, value_name = "N", default_value_t = number(JudgeLimits::default().connections), value_parser = some)]
    pub max_connections: NonZeroU32,
}

fn number(count: usize) -> NonZeroU32 {
    let count = u32::try_from(count).ok().and_then(NonZeroU32::new);
    count.unwrap_or(NonZeroU32::MAX)
}

fn address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        Problem::new(format!("invalid address {text:?}")).hint(
            "write an IP address and a port, such as 127.0.0.1:8000, 0.0.0.0:8000 or [::]:8000",
        )
    })
}

fn pair(text: &str) -> Result<(PathBuf, PathBuf), Problem> {
    match text.split_once(',') {
        Some((certificate, key)) if !certificate.is_empty() && !key.is_empty() => {
            Ok((certificate.into(), key.into()))
        }
        _ => Err(Problem::new(format!("{text:?} is not two files"))
            .hint("write the certificate and its key with a comma between: --tls fullchain.pem,privkey.pem")),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn the_default_rate_is_that_of_the_judge_itself() {
        let root = super::super::root();
        let matches = root.try_get_matches_from(["proxywheel", "judge"]).unwrap();
        let args = JudgeArgs::from_arg_matches(matches.subcommand().unwrap().1).unwrap();
        assert_eq!(args.client_rate.interval(), JudgeLimits::default().interval);
    }
}
