//! Export and import: JSON lines, one a row, the first of which says whose ids these are.
//!
//! An id means something only under the salt of its file. Into a file with nothing in it an import brings its salt along; into
//! any other it brings rows of proxies without credentials, whose label tells all of them. Others cannot be told under another
//! salt, and are counted.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use rusqlite::{Result as Sql, TransactionBehavior};
use serde::{Deserialize, Serialize};

use super::identity::Salt;
use super::rows::{HostRow, Id, LimitRow, PairRow, ProxyRow, RunRow, TierRow};
use super::save::{self, Rows};
use super::{State, schema};
use crate::error::{Error, Problem};
use crate::proxy::Proxy;

/// Version of the lines.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    State { v: u32, salt: String },
    Proxy(ProxyRow),
    Pair(PairRow),
    Host(HostRow),
    Limit(LimitRow),
    Tier(TierRow),
    Run(RunRow),
}

/// What an import came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Rows that are new or later than those that were there.
    pub taken: u64,
    /// Rows of which a later one was there.
    pub older: u64,
    /// Rows of proxies with credentials from a file with another salt.
    pub untold: u64,
}

impl State {
    /// Writes everything, one JSON object a line; the number of rows.
    ///
    /// # Errors
    /// The file cannot be read or the lines cannot be written.
    pub fn export(&self, to: &mut dyn Write) -> Result<u64, Error> {
        let mut lines = vec![Line::State {
            v: VERSION,
            salt: self.salt.hex(),
        }];
        let mut collect = || -> Sql<()> {
            self.each_proxy(|row| {
                lines.push(Line::Proxy(row));
                Ok(())
            })?;
            let pairs = format!("SELECT {} FROM pairs", PairRow::COLUMNS);
            let mut select = self.connection.prepare(&pairs)?;
            for row in select.query_map([], PairRow::read)? {
                lines.push(Line::Pair(row?));
            }
            let hosts = format!("SELECT {} FROM hosts", HostRow::COLUMNS);
            let mut select = self.connection.prepare(&hosts)?;
            for row in select.query_map([], HostRow::read)? {
                lines.push(Line::Host(row?));
            }
            lines.extend(self.limits(None)?.into_iter().map(Line::Limit));
            lines.extend(self.tiers(None)?.into_iter().map(Line::Tier));
            let mut runs = self.runs(None)?;
            runs.reverse();
            lines.extend(runs.into_iter().map(Line::Run));
            Ok(())
        };
        collect().map_err(self.failed("read"))?;
        for line in &lines {
            let text = serde_json::to_string(line)
                .map_err(|error| Error::Internal(format!("cannot write a row: {error}")))?;
            writeln!(to, "{text}").map_err(|error| Error::io("write", "the export", error))?;
        }
        Ok(lines.len() as u64 - 1)
    }

    /// Takes over the lines of an export; `name` is where they come from. All of them or, after an error, none.
    ///
    /// # Errors
    /// A line that is none of an export, or the file cannot be written.
    pub fn import(&mut self, from: &mut dyn BufRead, name: &str) -> Result<Imported, Error> {
        let bad = |number: usize, why: String| {
            Problem::new(why)
                .at(format!("{name}:{number}"))
                .hint("only lines that `proxywheel state export` has written are taken")
        };
        let mut foreign: Option<Salt> = None;
        let mut lines = Vec::new();
        for (at, text) in from.lines().enumerate() {
            let text = text.map_err(|error| Error::io("read", name, error))?;
            if text.trim().is_empty() {
                continue;
            }
            let line: Line =
                serde_json::from_str(&text).map_err(|error| bad(at + 1, error.to_string()))?;
            match (line, &foreign) {
                (Line::State { v, .. }, _) if v != VERSION => {
                    return Err(bad(at + 1, format!("an export of version {v}")).into());
                }
                (Line::State { salt, .. }, None) => {
                    let salt = Salt::of_hex(&salt);
                    foreign = Some(salt.ok_or_else(|| bad(at + 1, "not a salt".into()))?);
                }
                (Line::State { .. }, Some(_)) => {
                    return Err(bad(at + 1, "a second export begins".into()).into());
                }
                (_, None) => return Err(bad(at + 1, "the first line is missing".into()).into()),
                (line, Some(_)) => lines.push(line),
            }
        }
        let Some(salt) = foreign else {
            return Ok(Imported::default());
        };
        let failed = self.failed("write");
        self.take(&salt, lines).map_err(failed)
    }

    fn take(&mut self, foreign: &Salt, lines: Vec<Line>) -> Sql<Imported> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT EXISTS (SELECT 1 FROM proxies) OR EXISTS (SELECT 1 FROM pairs)";
        let has_ids: bool = transaction.query_row(sql, [], |row| row.get(0))?;
        if !has_ids {
            schema::set_salt(&transaction, foreign)?;
            self.salt = foreign.clone();
        }
        let same = self.salt.bytes() == foreign.bytes();
        let mut imported = Imported::default();
        let mut names: HashMap<Id, Id> = HashMap::new();
        {
            let mut rows = Rows::new(&transaction)?;
            let mut note = |taken: bool| {
                if taken {
                    imported.taken += 1;
                } else {
                    imported.older += 1;
                }
            };
            let mut untold = 0;
            for line in lines {
                match line {
                    Line::State { .. } => {}
                    Line::Proxy(mut row) => {
                        if !same {
                            let Some(own) = named(&row).map(|proxy| self.salt.id(proxy.id()))
                            else {
                                untold += 1;
                                continue;
                            };
                            names.insert(row.id, own);
                            row.id = own;
                        }
                        note(rows.proxy(&row)?);
                    }
                    Line::Pair(mut row) => {
                        if !same {
                            let Some(own) = names.get(&row.proxy) else {
                                untold += 1;
                                continue;
                            };
                            row.proxy = *own;
                        }
                        note(rows.pair(&row)?);
                    }
                    Line::Host(row) => note(rows.host(&row)?),
                    Line::Limit(row) => note(rows.limit(&row)?),
                    Line::Tier(row) => note(rows.tier(&row)?),
                    Line::Run(row) => {
                        let sql = "SELECT EXISTS (SELECT 1 FROM runs WHERE started = ?1)";
                        let known: bool =
                            transaction.query_row(sql, [row.started], |row| row.get(0))?;
                        if !known {
                            save::run(&transaction, &row)?;
                        }
                        note(!known);
                    }
                }
            }
            imported.untold = untold;
        }
        transaction.commit()?;
        Ok(imported)
    }
}

/// The proxy of a row, if the label tells all of it.
fn named(row: &ProxyRow) -> Option<Proxy> {
    let address = row.label.split('#').next().filter(|_| row.open)?;
    let (scheme, place) = address.split_once("://")?;
    let (host, port) = place.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(Proxy::new(
        scheme.parse().ok()?,
        host,
        port.parse().ok()?,
        None,
    ))
}
