//! The switches of this host, from the command line: what `devlink` and `ethtool -k` show of them, and
//! the contract suite against one of them.
//!
//! ```text
//! eswitch                                  every device: mode, ports, representors, hw-tc-offload
//! eswitch HANDLE legacy|switchdev          switch the mode; wait for a representor of each VF that has a port
//! eswitch HANDLE await N SECONDS           wait for the representors of VFs 0..N
//! eswitch HANDLE set NAME MODE VALUE       set a parameter: a truth value, a number (u32) or a text
//! eswitch HANDLE reload                    load the driver again, with parameters of the mode driverinit as they are set
//! eswitch HANDLE contract VFS [DRIVER]     hold the switch to the contract; its VFs are unbound
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use vdpa_eswitch::contract::{self, Inline, Subject};
use vdpa_eswitch::{
    DevlinkHandle, Error, Eswitch, Kernel, Mode, ParamMode, ParamValue, Reload, Representors, patience,
};
use vdpa_hw::VfIndex;

/// Anything that ends the example.
type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let started = Instant::now();
    match run(&words).await {
        Ok(()) => {
            eprintln!("{:.3} s", started.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            let mut source = failure.source();
            while let Some(cause) = source {
                eprintln!("  {}", cause.to_string().replace('\n', "\n  "));
                source = cause.source();
            }
            if let Some(hint) = failure.downcast_ref::<Error>().and_then(Error::hint) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &[&str]) -> Result<(), Failure> {
    let kernel = Kernel::new();
    match words {
        [] => {
            for device in kernel.devices().await? {
                show(&kernel, &device).await?;
            }
        }
        [device, "await", count, seconds] => {
            let vfs: Vec<_> = VfIndex::first(count.parse()?).collect();
            let limit = Duration::from_secs(seconds.parse()?);
            print_representors(&kernel.await_representors(&device.parse()?, &vfs, limit).await?);
        }
        [device, "set", name, mode, value] => {
            let value = match (value.parse::<bool>(), value.parse::<u32>()) {
                (Ok(value), _) => ParamValue::Bool(value),
                (_, Ok(value)) => ParamValue::U32(value),
                _ => ParamValue::Text((*value).to_owned()),
            };
            kernel.set_param(&device.parse()?, name, mode.parse::<ParamMode>()?, &value).await?;
        }
        [device, "reload"] => {
            let done = kernel.reload(&device.parse()?, Reload::DRIVER, patience(127)).await?;
            println!("done: {}", done.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        }
        [device, "contract", vfs, rest @ ..] => {
            let driver = rest.first().copied().unwrap_or("mlx5_core");
            hold_to_contract(&kernel, device.parse()?, VfIndex::first(vfs.parse()?).collect(), driver).await;
        }
        [device, mode] => switch(&kernel, &device.parse()?, mode.parse()?).await?,
        _ => return Err("see the example's first lines for its arguments".into()),
    }
    Ok(())
}

async fn show(kernel: &Kernel, device: &DevlinkHandle) -> Result<(), Error> {
    let info = kernel.info(device).await?;
    println!(
        "{device}: driver {}, firmware {}",
        info.driver.as_deref().unwrap_or("-"),
        info.firmware().unwrap_or("-")
    );
    match kernel.state(device).await {
        Ok(state) => println!("  {state:?}"),
        Err(error) => println!("  no eswitch: {error}"),
    }
    for port in kernel.ports(device).await? {
        println!("  {port:?}");
    }
    for param in kernel.params(device).await? {
        println!("  {}: {:?}", param.name, param.values);
    }
    let found = kernel.representors(device).await?;
    print_representors(&found);
    for representor in found.uplink.iter().chain(found.vfs.values()) {
        let offload = kernel.tc_offload(representor.index).await?;
        println!("  {}: hw-tc-offload {}", representor.name, if offload { "on" } else { "off" });
    }
    Ok(())
}

async fn switch(kernel: &Kernel, device: &DevlinkHandle, mode: Mode) -> Result<(), Error> {
    let started = Instant::now();
    kernel.set_mode(device, mode, patience(127)).await?;
    eprintln!("the kernel took {:.3} s", started.elapsed().as_secs_f64());
    let vfs: Vec<_> = kernel.ports(device).await?.iter().filter_map(vdpa_eswitch::Port::local_vf).collect();
    print_representors(&kernel.await_representors(device, &vfs, patience(vfs.len())).await?);
    Ok(())
}

fn print_representors(found: &Representors) {
    if let Some(uplink) = &found.uplink {
        println!("  uplink {} ({})", uplink.name, uplink.index);
    }
    for (vf, representor) in &found.vfs {
        println!("  vf {vf} {} ({})", representor.name, representor.index);
    }
}

async fn hold_to_contract(kernel: &Kernel, device: DevlinkHandle, vfs: Vec<VfIndex>, driver: &str) {
    let simulated = driver == "netdevsim";
    let limit = patience(vfs.len());
    let max_macs = ("max_macs", ParamMode::Driverinit, [ParamValue::U32(16), ParamValue::U32(32)]);
    let subject = Subject {
        eswitch: kernel,
        device,
        driver,
        vfs,
        inline: if simulated { Inline::Absent } else { Inline::None },
        encap: !simulated,
        function_mac: !simulated,
        param: simulated.then_some(max_macs),
        limit,
    };
    contract::all(&subject).await;
    println!("the contract is kept");
}
