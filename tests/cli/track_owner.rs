//! A history belongs to one job file, whatever others call their jobs.

use std::fs;

use crate::track_cron::{JOB, free};
use crate::track_engine::Scene;

#[test]
fn a_job_file_with_the_name_of_another_is_refused_until_the_other_is_gone() {
    let scene = Scene::new(2, |_, _, _| Some(3), free);
    scene.write("keywords.txt", "keyword 1");
    scene.write("job.toml", JOB);
    let folder = scene.folder.path().join("other");
    fs::create_dir(&folder).expect("a folder");
    let job = JOB.replace("\"proxies.txt\"", "\"../proxies.txt\"");
    let job = job.replace("\"keywords.txt\"", "\"../keywords.txt\"");
    let job = job.replace("\"engine.toml\"", "\"../engine.toml\"");
    fs::write(folder.join("job.toml"), job).expect("a file");
    let run = |file: &str| {
        let words = format!("run {file} --state state.db --progress none");
        let output = scene.track(&words, 0).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(run("job.toml").0, Some(0));
    let asked = scene.requests();
    let (code, said) = run("other/job.toml");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("name = \"job-2\""), "{said}");
    assert_eq!(scene.requests(), asked, "before anything is asked");
    fs::remove_file(scene.folder.path().join("job.toml")).expect("removed");
    assert_eq!(run("other/job.toml").0, Some(0), "it has moved");
}
