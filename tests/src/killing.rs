//! Kills parts of a pipeline.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testdata::random::Random;

/// Kills one stage of a pipeline, all stages, or the process group of the shell.
pub fn kill_some(shell: &Child, random: &mut Random) {
    let id = shell.id();
    let stages = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let stages: Vec<_> =
        stages.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    let victims = match random.below(3) {
        0 if !stages.is_empty() => vec![random.pick(&stages).clone()],
        1 if !stages.is_empty() => stages,
        _ => vec![format!("-{id}")],
    };
    let _ = Command::new("kill")
        .args(["-KILL", "--"])
        .args(victims)
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// Waits until a killed pipeline and all its processes have ended. Returns whether the pipeline
/// succeeded. After two seconds, kills the processes that still run, as systemd does.
pub fn end(shell: &mut Child) -> bool {
    let group = format!("-{}", shell.id());
    let signal = |signal: &str| {
        let mut kill = Command::new("kill");
        kill.args([signal, "--", &group]).stderr(Stdio::null()).status().unwrap().success()
    };
    let begun = Instant::now();
    let mut ended = None;
    loop {
        if ended.is_none() {
            ended = shell.try_wait().unwrap();
        }
        // A dead process stays in the group until its parent waits for it: stop after 10 seconds.
        let is_over = || !signal("-0") || begun.elapsed() > Duration::from_secs(10);
        if let Some(status) = ended
            && is_over()
        {
            return status.success();
        }
        if begun.elapsed() > Duration::from_secs(2) {
            signal("-KILL");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
