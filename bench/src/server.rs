//! The real server as a child, and a client small enough to take little from it.
use crate::{Result, events, folder};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};
use tempfile::TempDir;

/// The server's program, and project folders to run it with.
pub(crate) struct Program {
    program: PathBuf,
    /// As the benchmarks' project, without models: what is measured then is the append.
    without_models: TempDir,
}

impl Program {
    /// Builds the server where that is needed.
    pub(crate) fn build() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = ["build", "--release", "--locked", "-p", "evenkeel-server"];
        if !Command::new(cargo).args(build).current_dir(&root).status()?.success() {
            return Err("the server cannot be built".into());
        }
        let made = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let without_models = folder::fresh()?;
        let from = events::project_dir();
        fs::create_dir(without_models.path().join("contracts"))?;
        for name in ["evenkeel.toml", "contracts/order_moved.toml", "contracts/order_moved.v1.schema.json"] {
            fs::copy(from.join(name), without_models.path().join(name))?;
        }
        Ok(Self { program: made.join("release/evenkeel"), without_models })
    }

    /// Starts it over a data folder, with the model or without, and waits until it listens.
    pub(crate) fn serve(&self, data: &Path, with_model: bool) -> Result<Server> {
        let project = if with_model { events::project_dir() } else { self.without_models.path().to_owned() };
        let mut child = Command::new(&self.program)
            .arg("--dir")
            .arg(project)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("no stderr")?;
        let mut server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            let line = line?;
            let parsed: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = parsed["address"].as_str().filter(|_| parsed["message"] == "serving") {
                server.address = address.parse()?;
                // The rest is read so that the server never waits for us.
                thread::spawn(move || lines.for_each(drop));
                return Ok(server);
            }
            said.push_str(&line);
            said.push('\n');
        }
        Err(format!("the server does not serve:\n{said}").into())
    }
}

/// A server at work; killed when this is dropped, since its data is of no use afterwards.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// A connection of its own.
    pub(crate) fn connect(&self) -> Result<Client> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, host: self.address.to_string(), buffer: Vec::new() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection, kept alive over many requests.
pub(crate) struct Client {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Publishes one event in structured mode; the body of the answer.
    pub(crate) fn publish(&mut self, event: &[u8]) -> Result<&[u8]> {
        self.request("POST", "/v1/events", "application/cloudevents+json", event, 202)
    }

    /// Publishes a batch.
    pub(crate) fn publish_batch(&mut self, events: &[Vec<u8>]) -> Result<&[u8]> {
        let mut body = vec![b'['];
        body.extend(events.join(&b','));
        body.push(b']');
        self.request("POST", "/v1/events", "application/cloudevents-batch+json", &body, 202)
    }

    /// Has something done.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Result<&[u8]> {
        self.request("POST", path, "application/json", body, 200)
    }

    /// Reads.
    pub(crate) fn get(&mut self, path: &str) -> Result<&[u8]> {
        self.request("GET", path, "application/json", &[], 200)
    }

    /// Asks, and does not wait for the answer.
    pub(crate) fn ask(&mut self, path: &str) -> Result<()> {
        self.send("GET", path, "application/json", &[])
    }

    /// The body of the answer to what was asked.
    pub(crate) fn answered(&mut self) -> Result<&[u8]> {
        let (status, body) = self.answer()?;
        if status != 200 {
            return Err(format!("{status} {}", String::from_utf8_lossy(&self.buffer[body..])).into());
        }
        Ok(&self.buffer[body..])
    }

    fn request(&mut self, method: &str, path: &str, content: &str, body: &[u8], expected: u16) -> Result<&[u8]> {
        self.send(method, path, content, body)?;
        let (status, body) = self.answer()?;
        if status != expected {
            return Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&self.buffer[body..])).into());
        }
        Ok(&self.buffer[body..])
    }

    fn send(&mut self, method: &str, path: &str, content: &str, body: &[u8]) -> Result<()> {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\r\n",
            self.host
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        Ok(self.stream.write_all(&request)?)
    }

    /// Reads an answer into the buffer: its status, and where its body begins.
    fn answer(&mut self) -> Result<(u16, usize)> {
        self.buffer.clear();
        let mut chunk = [0; 16_384];
        let mut whole = None;
        loop {
            if let Some((status, body, end)) = whole
                && self.buffer.len() >= end
            {
                return Ok((status, body));
            }
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            self.buffer.extend_from_slice(&chunk[..read]);
            if whole.is_none() {
                whole = head(&self.buffer)?;
            }
        }
    }
}

/// Status, start and end of the body, once the head is complete.
fn head(buffer: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&buffer[..end])?;
    let status = text.split(' ').nth(1).ok_or("no status")?.parse()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    Ok(Some((status, end + 4, end + 4 + length.ok_or("no Content-Length")??)))
}
