//! Tests with real files, sockets and time.

mod bans;
mod check;
mod check_dns;
mod check_family;
mod client;
mod egress;
mod faults;
mod faults_cases;
mod input;
mod judge;
mod lab;
mod lab_client;
mod lab_faults;
mod leak;
mod leak_links;
mod limits;
mod output;
mod output_resume;
mod output_rows;
mod rehearsal;
mod report;
mod report_world;
mod wire;
mod wire_score;
mod wire_stack;
