//! A real nginx before several facilitators, configured by the file that operators are given.

use std::path::PathBuf;
use std::process::Command;

use super::cluster::is_root;
use super::process::{Process, free_port};
use super::{eventually, offered};

pub(crate) struct Nginx {
    pub(crate) port: u16,
    directory: PathBuf,
    _process: Process,
}

impl Nginx {
    /// Before facilitators at these ports; none where there is no nginx.
    pub(crate) async fn before(ports: [u16; 3]) -> Option<Self> {
        let program = offered("FACILITATOR_NGINX", "nginx")?;
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("facilitator-nginx-{}-{port}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("nginx.conf"), settings(port, ports)).unwrap();
        let mut command = Command::new(program);
        command
            .arg("-p")
            .arg(&directory)
            .args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut process = Process::spawn("nginx", &mut command);
        eventually("nginx listens", async || {
            assert!(!process.has_ended(), "{}", process.said());
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Some(Self {
            port,
            directory,
            _process: process,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// The operators' file, with this machine's addresses and places.
fn settings(port: u16, ports: [u16; 3]) -> String {
    let shipped = include_str!("../../deploy/nginx.conf");
    let user = if is_root() { "user root;" } else { "" };
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|it| format!("{it}_temp_path {it};"));
    let mut settings = shipped
        .replace(
            "worker_processes auto;",
            &format!("{user} worker_processes 1; daemon off; pid nginx.pid;"),
        )
        .replace("access_log off;", &format!("access_log off; {}", places.concat()))
        .replace("listen 8080;", &format!("listen 127.0.0.1:{port};"));
    for (number, at) in (1..).zip(ports) {
        settings = settings.replace(&format!("facilitator-{number}:4020"), &format!("127.0.0.1:{at}"));
    }
    settings
}
