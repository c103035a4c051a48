//! A history belongs to one job file, whatever others call their jobs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

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
    let output = "[output]\nobservations = \"seen.csv\"\npages = \"all\"\n";
    fs::write(folder.join("job.toml"), format!("{job}{output}")).expect("a file");
    let run = |file: &str| {
        let words = format!("run {file} --state state.db --progress none");
        let output = scene.track(&words, 0).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(run("job.toml").0, Some(0));
    let looks_back = |file: &str| {
        let words = format!("plan {file} --state state.db");
        let output = scene.track(&words, 0).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        said.contains("as in the last 30 days")
    };
    assert!(looks_back("job.toml") && !looks_back("other/job.toml"));
    let asked = scene.requests();
    let (code, said) = run("other/job.toml");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("name = \"job-2\""), "{said}");
    assert_eq!(scene.requests(), asked, "before anything is asked");
    let made = fs::read_dir(&folder).expect("a folder").count();
    assert_eq!(made, 1, "its files are left alone");
    fs::remove_file(scene.folder.path().join("job.toml")).expect("removed");
    assert_eq!(run("other/job.toml").0, Some(0), "it has moved");
}

#[test]
fn a_job_behind_a_link_to_its_release_goes_on_with_its_history_in_the_next_release() {
    let scene = Scene::new(2, |_, _, _| Some(3), free);
    let root = scene.folder.path();
    scene.write("keywords.txt", "keyword 1");
    for release in ["41", "42"] {
        let folder = root.join("releases").join(release);
        fs::create_dir_all(&folder).expect("a folder");
        let job = JOB.replace("\"proxies.txt\"", "\"../../proxies.txt\"");
        let job = job.replace("\"keywords.txt\"", "\"../../keywords.txt\"");
        let job = job.replace("\"engine.toml\"", "\"../../engine.toml\"");
        fs::write(folder.join("job.toml"), job).expect("a file");
    }
    let current = root.join("current");
    let deploy = |release: &str| {
        fs::remove_file(&current).ok();
        symlink(root.join("releases").join(release), &current).expect("a link");
    };
    // As a shell leaves it after `cd`.
    let run = |folder: &Path| {
        let words = format!(
            "run job.toml --state {}/state.db --progress none",
            root.display()
        );
        let mut track = scene.track(&words, 0);
        let output = track.current_dir(folder).env("PWD", folder).output();
        let output = output.expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    deploy("41");
    assert_eq!(run(&current).0, Some(0));
    let by_hand = run(&root.join("releases/41"));
    assert_eq!(by_hand.0, Some(0), "the same file: {}", by_hand.1);
    deploy("42");
    let (code, said) = run(&current);
    assert_eq!(code, Some(0), "the next release: {said}");
    let (code, said) = run(&root.join("releases/41"));
    assert_eq!(code, Some(2), "two files that are both there: {said}");
}
