//! The program of the example: `hello web` answers with its name, `hello front` asks `web` by name and passes it on,
//! `hello work 30s` does the same as `web` after it has taken a lease for so long, and `hello job` does its work and ends.
//!
//! It has no dependencies and is linked statically, so that its image is this one file.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Where Docker's own DNS server is found in every container of a network.
const RESOLVER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 11), 53);
const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(2);
/// As much as browsers and load balancers send, with some room.
const LONGEST_HEAD: usize = 16 << 10;

fn main() {
    let role = std::env::args().nth(1).unwrap_or_default();
    if role == "job" {
        return println!("{} has done its work", name());
    }
    if role == "work" {
        let time = std::env::args().nth(2).unwrap_or_default();
        match lease(&time) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("no lease: {error}"),
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("the port is ours");
    println!("{role} listens on port {PORT}");
    for connection in listener.incoming().flatten() {
        let role = role.clone();
        std::thread::spawn(move || {
            // A caller that hangs up is no news.
            let _ = answer(connection, &role);
        });
    }
}

/// Says that there is work in flight, which is not to be broken off.
fn lease(time: &str) -> std::io::Result<String> {
    let socket = std::env::var("WHARF_LEASE_SOCKET").map_err(std::io::Error::other)?;
    let mut connection = UnixStream::connect(socket)?;
    write!(connection, "PUT /lease?for={time} HTTP/1.1\r\nHost: wharf\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

fn answer(mut connection: TcpStream, role: &str) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let request = read_head(&mut connection)?;
    let path = request.split(' ').nth(1).unwrap_or("/");
    let (status, body) = match (path, role) {
        ("/health", _) => ("200 OK", "well\n".to_owned()),
        (_, "front") => match ask("web") {
            Ok(body) => ("200 OK", body),
            Err(error) => ("502 Bad Gateway", format!("web does not answer: {error}\n")),
        },
        _ => ("200 OK", format!("hello from {}\n", name())),
    };
    if path != "/health" {
        println!("{path} {status}");
    }
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Reads a request to the end of its head. Whoever closes a connection with something unread in it resets it, and
/// the caller may lose the answer (RFC 9112, 9.6).
fn read_head(connection: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = connection.read(&mut piece)?;
        if length == 0 || head.len() > LONGEST_HEAD {
            return Err(std::io::Error::other("a request without an end"));
        }
        head.extend_from_slice(&piece[..length]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn name() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn ask(host: &str) -> std::io::Result<String> {
    let address = SocketAddrV4::new(resolve(host)?, PORT);
    let mut connection = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::Error::other("an answer without a body"))
}

/// Asks for an address (RFC 1035, 4.1). A static program has no name service of the C library to ask.
fn resolve(host: &str) -> std::io::Result<Ipv4Addr> {
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in host.split('.') {
        question.push(u8::try_from(label.len()).map_err(std::io::Error::other)?);
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(&question, RESOLVER)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    // Behind the question and a name: type A, class IN, four bytes of time to live, length 4, the address.
    let records = answer.get(question.len()..length).unwrap_or_default();
    let mut found =
        records.windows(14).filter(|record| record[..4] == [0, 1, 0, 1] && record[8..10] == [0, 4]);
    let address =
        found.next().map(|record| Ipv4Addr::new(record[10], record[11], record[12], record[13]));
    address.ok_or_else(|| std::io::Error::other(format!("nobody knows {host}")))
}
