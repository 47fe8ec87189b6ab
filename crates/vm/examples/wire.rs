//! Puts a VF's interface into a domain's XML, from standard input to standard output, and checks it first.
//!
//! ```text
//! virsh dumpxml --inactive cx6.1 | wire 0000:43:00.0/vf0 e4:11:22:33:55:60 /run/vdpa/vf0.sock > new.xml
//! ```

use std::error::Error;
use std::io::Read as _;

use vdpa_hw::Vf;
use vdpa_vm::{Interface, Placement, Role, Source, check, xml};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [vf, mac, socket] = &arguments[..] else { return Err("wire VF MAC SOCKET < XML".into()) };
    let mut domain = String::new();
    std::io::stdin().read_to_string(&mut domain)?;

    let vf: Vf = vf.parse()?;
    let source = Source::VhostUser { socket: socket.into(), role: Role::Client { reconnect: Some(1) } };
    let interface = Interface::new(mac.parse()?, source);
    for finding in check(&domain, vf, &interface, &Placement::default())? {
        eprintln!("{finding}");
    }
    print!("{}", xml::attach(&domain, vf, &interface)?);
    Ok(())
}
