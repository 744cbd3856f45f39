//! Machines, each in a separate network namespace. A cable goes from each machine to the namespace
//! of the test, where a server has the address [`SERVER`].

use std::io::Write as _;
use std::process::Command;

use crate::text;

/// The address of the server.
pub const SERVER: &str = "10.77.0.1";

/// Runs the test named `test` again in new namespaces, so that it does not change the network of
/// this machine. Inside them, returns `true`, and the test must continue. Outside, returns `false`
/// after the test has passed inside. The namespaces end with the test.
#[must_use]
pub fn is_inside(test: &str) -> bool {
    const INSIDE: &str = "MLS_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        run("sh", &["-c", "mkdir -p /run/netns && mount -t tmpfs netns /run/netns"]);
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]).arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let printed = text(&output.stdout);
    let _ = writeln!(std::io::stderr(), "{printed}{}", text(&output.stderr));
    assert!(output.status.success(), "{test}: {}", output.status);
    assert!(printed.contains("test result: ok. 1 passed"), "there is no test {test}");
    false
}

/// Adds a machine. Each machine needs a different `number` for its address.
pub fn add(name: &str, number: usize) {
    let address = format!("10.77.{}.{}", 1 + number / 250, 1 + number % 250);
    ip(&format!("netns add {name}"));
    ip(&format!("link add {name} type veth peer name eth0 netns {name}"));
    ip(&format!("addr add {SERVER} peer {address} dev {name}"));
    ip(&format!("-n {name} addr add {address}/16 dev eth0"));
    ip(&format!("-n {name} link set eth0 up"));
    plug(name);
}

/// Disconnects a machine from the server. Packets are lost, and nobody gets an error at once.
pub fn unplug(name: &str) {
    ip(&format!("link set {name} down"));
}

/// Connects a machine with the server again.
pub fn plug(name: &str) {
    ip(&format!("link set {name} up"));
}

/// Cuts the power of a machine: the processes die, and the machine sends no packet about it.
pub fn power_off(name: &str) {
    ip(&format!("link del {name}"));
    run("sh", &["-c", &format!("ip netns pids {name} | xargs -r kill -KILL")]);
    ip(&format!("netns del {name}"));
}

/// The first words of a command that runs on a machine.
#[must_use]
pub fn on(name: &str) -> [String; 2] {
    ["nsenter".to_owned(), format!("--net=/run/netns/{name}")]
}

fn ip(arguments: &str) {
    run("ip", &arguments.split(' ').collect::<Vec<_>>());
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
}
