//! What every [`Domains`] keeps to, run on the mock by unit tests and on a real libvirt by `tests/daemon`.
//!
//! Each function defines domains of its own from `template`, a definition that the subject accepts with
//! at least two vCPUs, no interface of ours and memory that may be shared; it panics where the subject
//! does otherwise. They leave their domains behind.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "to panic is what these functions are for"
)]

use vdpa_hw::Vf;

use crate::xml::{Document, name};
use crate::{
    Alias, DomainName, Domains, Effect, Error, Holder, Interface, Resource, Role, Source, View, enforce,
    holders, observe, xml,
};

/// Every part of the contract that takes a template.
pub async fn all(domains: &dyn Domains, template: &str) {
    versions_are_numbers(domains).await;
    what_is_defined_is_listed_and_read_back(domains, template).await;
    an_unknown_domain_is_told_apart(domains).await;
    what_is_no_domain_is_refused(domains).await;
    a_name_and_a_uuid_belong_together(domains, template).await;
    two_devices_with_one_alias_are_refused(domains, template).await;
    a_ring_that_is_no_power_of_two_is_refused(domains, template).await;
    an_interface_goes_in_and_comes_out(domains, template).await;
    two_vfs_come_and_go_on_their_own(domains, template).await;
    a_changed_interface_takes_the_place_of_the_former(domains, template).await;
    holders_are_found(domains, template).await;
    a_name_that_looks_like_an_id_is_a_name(domains, template).await;
}

/// libvirt and its hypervisor say what they are, in numbers with dots between them.
pub async fn versions_are_numbers(domains: &dyn Domains) {
    let said = domains.versions().await.unwrap();
    let hypervisor = said.hypervisor.split_once(' ').unwrap_or_else(|| panic!("{said:?}")).1;
    for version in [said.libvirt.as_str(), hypervisor] {
        let numbers = version.split('.').all(|part| part.parse::<u32>().is_ok());
        assert!(numbers && version.contains('.'), "{said:?}");
    }
}

/// A definition is listed, has a UUID when it is read back, and counts as shut off and persistent.
pub async fn what_is_defined_is_listed_and_read_back(domains: &dyn Domains, template: &str) {
    let domain = define(domains, template, "contract-read").await;
    assert!(domains.list().await.unwrap().contains(&domain), "{domain} is not listed");
    for view in [View::Definition, View::Current] {
        let text = domains.xml(&domain, view).await.unwrap();
        assert_eq!(name(&text).unwrap(), domain, "{view:?}");
        assert!(Document::parse(&text).unwrap().at(&["uuid"]).is_some(), "no uuid in {text}");
    }
    let status = domains.status(&domain).await.unwrap();
    assert!(!status.active && status.persistent && !status.managed_save, "{status:?}");
    let text = domains.xml(&domain, View::Definition).await.unwrap();
    domains.define(&text).await.expect("what was read can be defined again");
    assert_eq!(
        domains.xml(&domain, View::Definition).await.unwrap(),
        text,
        "defining what is there changes nothing"
    );
}

/// A name nobody has is an [`Error::UnknownDomain`], whoever asks.
pub async fn an_unknown_domain_is_told_apart(domains: &dyn Domains) {
    let nobody: DomainName = "contract-nobody".parse().unwrap();
    let unknown = Error::UnknownDomain(nobody.clone());
    assert_eq!(domains.status(&nobody).await.unwrap_err(), unknown);
    assert_eq!(domains.xml(&nobody, View::Definition).await.unwrap_err(), unknown);
    assert_eq!(observe(domains, &nobody, vf(0)).await.unwrap_err(), unknown);
    assert_eq!(enforce(domains, &nobody, vf(0), None).await.unwrap_err(), unknown);
}

/// Text that is no domain with a name is refused and defines nothing.
pub async fn what_is_no_domain_is_refused(domains: &dyn Domains) {
    let before = domains.list().await.unwrap();
    for bad in ["", "<domain>", "<network/>", "<domain/>", "<domain><name>a/b</name></domain>"] {
        domains.define(bad).await.expect_err(bad);
    }
    assert_eq!(domains.list().await.unwrap(), before);
}

/// A known name with another UUID is refused, and a known UUID with another name.
pub async fn a_name_and_a_uuid_belong_together(domains: &dyn Domains, template: &str) {
    let domain = define(domains, template, "contract-uuid").await;
    let text = domains.xml(&domain, View::Definition).await.unwrap();
    let refused = |result: crate::Result<()>| match result {
        Err(Error::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    let message = refused(domains.define(&named(&text, "contract-uuid")).await);
    assert!(message.contains("'contract-uuid' already exists with uuid"), "{message}");
    let renamed = text.replace(">contract-uuid<", ">contract-other<");
    let message = refused(domains.define(&renamed).await);
    assert!(message.contains("'contract-uuid' is already defined with uuid"), "{message}");
    assert_eq!(domains.xml(&domain, View::Definition).await.unwrap(), text);
}

/// A user alias names one device.
pub async fn two_devices_with_one_alias_are_refused(domains: &dyn Domains, template: &str) {
    let domain = define(domains, template, "contract-alias").await;
    let before = domains.xml(&domain, View::Definition).await.unwrap();
    let two = xml::attach(&xml::attach(&before, vf(0), &client(0)).unwrap(), vf(1), &client(1)).unwrap();
    let one = two.replace(&Alias::Vf(vf(1)).to_string(), &Alias::Vf(vf(0)).to_string());
    let error = domains.define(&one).await.unwrap_err().to_string();
    assert!(error.contains("non unique alias detected: ua-vdpa-0000-43-00-0-vf0"), "{error}");
    assert_eq!(domains.xml(&domain, View::Definition).await.unwrap(), before);
}

/// A ring of 1000 slots is refused.
pub async fn a_ring_that_is_no_power_of_two_is_refused(domains: &dyn Domains, template: &str) {
    let domain = define(domains, template, "contract-ring").await;
    let before = domains.xml(&domain, View::Definition).await.unwrap();
    let wired = xml::attach(&before, vf(0), &client(0)).unwrap();
    let odd = wired.replace("rx_queue_size='1024'", "rx_queue_size='1000'");
    let error = domains.define(&odd).await.unwrap_err().to_string();
    assert!(error.contains("rx_queue_size has to be a power of two"), "{error}");
}

/// Every kind of interface is kept whole, a second time changes nothing, and taking it out leaves the
/// definition as it was, byte for byte.
pub async fn an_interface_goes_in_and_comes_out(domains: &dyn Domains, template: &str) {
    let kernel = Source::Vdpa { device: "/dev/vhost-vdpa-0".into() };
    let socket = || "/run/vdpa/0000:43:00.0-vf0 & 'co'.sock".into();
    let sources = [
        ("contract-kernel", kernel),
        ("contract-server", Source::VhostUser { socket: socket(), role: Role::Server }),
        ("contract-client", Source::VhostUser { socket: socket(), role: Role::Client { reconnect: None } }),
        ("contract-again", Source::VhostUser { socket: socket(), role: Role::Client { reconnect: Some(3) } }),
    ];
    for (name, source) in sources {
        let domain = define(domains, template, name).await;
        let before = domains.xml(&domain, View::Definition).await.unwrap();
        assert_eq!(observe(domains, &domain, vf(0)).await.unwrap(), None, "{name}");
        let wanted = Interface { source, ..Interface::new(client(0).mac, kernel_source()) };
        let effect = enforce(domains, &domain, vf(0), Some(&wanted)).await.unwrap();
        assert_eq!(effect, Effect::Defined, "{name}");
        assert_eq!(observe(domains, &domain, vf(0)).await.unwrap().as_ref(), Some(&wanted), "{name}");
        let effect = enforce(domains, &domain, vf(0), Some(&wanted)).await.unwrap();
        assert_eq!(effect, Effect::Unchanged, "{name}, a second time");
        assert_eq!(enforce(domains, &domain, vf(0), None).await.unwrap(), Effect::Defined, "{name}");
        let after = domains.xml(&domain, View::Definition).await.unwrap();
        assert_eq!(after, before, "{name}");
        assert_eq!(
            enforce(domains, &domain, vf(0), None).await.unwrap(),
            Effect::Unchanged,
            "{name}, out twice"
        );
    }
}

/// Two VFs in one domain, the first taken out first: the other one stays whole.
pub async fn two_vfs_come_and_go_on_their_own(domains: &dyn Domains, template: &str) {
    let domain = define(domains, template, "contract-two").await;
    let before = domains.xml(&domain, View::Definition).await.unwrap();
    for n in [0, 1] {
        assert_eq!(enforce(domains, &domain, vf(n), Some(&client(n))).await.unwrap(), Effect::Defined);
    }
    assert_eq!(enforce(domains, &domain, vf(0), None).await.unwrap(), Effect::Defined);
    assert_eq!(observe(domains, &domain, vf(0)).await.unwrap(), None);
    assert_eq!(observe(domains, &domain, vf(1)).await.unwrap(), Some(client(1)));
    let text = domains.xml(&domain, View::Definition).await.unwrap();
    assert_eq!(crate::xml::sharing(&Document::parse(&text).unwrap()), crate::xml::Sharing::Shared, "{text}");
    assert_eq!(enforce(domains, &domain, vf(1), None).await.unwrap(), Effect::Defined);
    assert_eq!(domains.xml(&domain, View::Definition).await.unwrap(), before);
}

/// Another MAC or source for a VF takes the former's place, in the guest too: it keeps its PCI address.
pub async fn a_changed_interface_takes_the_place_of_the_former(domains: &dyn Domains, template: &str) {
    let domain = define(domains, template, "contract-change").await;
    enforce(domains, &domain, vf(0), Some(&client(0))).await.unwrap();
    enforce(domains, &domain, vf(1), Some(&client(1))).await.unwrap();
    let order = |text: &str| xml::interfaces(text).unwrap().into_iter().map(|(vf, _)| vf).collect::<Vec<_>>();
    let before = domains.xml(&domain, View::Definition).await.unwrap();
    let wanted = Interface { source: kernel_source(), tx_ring: None, ..client(7) };
    assert_eq!(enforce(domains, &domain, vf(0), Some(&wanted)).await.unwrap(), Effect::Defined);
    assert_eq!(observe(domains, &domain, vf(0)).await.unwrap(), Some(wanted));
    let after = domains.xml(&domain, View::Definition).await.unwrap();
    assert_eq!(order(&after), order(&before));
    let addresses = |text: &str| -> Vec<String> {
        let document = Document::parse(text).unwrap();
        let devices = document.at(&["devices"]).unwrap();
        let nics = xml::children(devices, "interface").filter_map(|nic| xml::child(nic, "address"));
        nics.map(|address| document.verbatim(address).to_owned()).collect()
    };
    assert_eq!(addresses(&after), addresses(&before));
}

/// A socket, a device and a PCI function are found in the domain that asks for them, and in no other.
pub async fn holders_are_found(domains: &dyn Domains, template: &str) {
    let domain = define(domains, template, "contract-holder").await;
    let resource = Resource::Socket("/run/vdpa/held.sock".into());
    let other = Resource::Device("/dev/vhost-vdpa-77".into());
    let function = Resource::Pci("0000:42:00.3".parse().unwrap());
    let all = [resource.clone(), other, function];
    assert_eq!(holders(domains, &all).await.unwrap(), []);
    let source = Source::VhostUser { socket: "/run/vdpa/held.sock".into(), role: Role::Server };
    enforce(domains, &domain, vf(0), Some(&Interface { source, ..client(0) })).await.unwrap();
    assert_eq!(holders(domains, &all).await.unwrap(), [Holder { domain, resource, active: false }]);
}

/// A domain called `1` is found by its name, whatever runs under the id 1.
pub async fn a_name_that_looks_like_an_id_is_a_name(domains: &dyn Domains, template: &str) {
    let one = define(domains, template, "1").await;
    assert_eq!(name(&domains.xml(&one, View::Definition).await.unwrap()).unwrap(), one);
    let two: DomainName = "2".parse().unwrap();
    assert_eq!(domains.status(&two).await.unwrap_err(), Error::UnknownDomain(two));
    let dash = define(domains, template, "--all").await;
    assert_eq!(name(&domains.xml(&dash, View::Definition).await.unwrap()).unwrap(), dash);
}

/// An edit of a running domain is for its next start: `domain` has to be running.
pub async fn a_running_domain_goes_on_as_it_is(domains: &dyn Domains, domain: &DomainName) {
    assert!(domains.status(domain).await.unwrap().active, "{domain} does not run");
    let running = domains.xml(domain, View::Current).await.unwrap();
    let definition = domains.xml(domain, View::Definition).await.unwrap();
    let effect = enforce(domains, domain, vf(0), Some(&client(0))).await.unwrap();
    assert_eq!(effect, Effect::NextStart);
    assert_eq!(observe(domains, domain, vf(0)).await.unwrap(), Some(client(0)));
    assert_eq!(domains.xml(domain, View::Current).await.unwrap(), running);
    let Source::VhostUser { socket, .. } = client(0).source else { unreachable!("client() is vhost-user") };
    let held = holders(domains, &[Resource::Socket(socket)]).await.unwrap();
    assert!(held.iter().any(|held| held.domain == *domain && !held.active), "{held:?}");
    assert_eq!(enforce(domains, domain, vf(0), None).await.unwrap(), Effect::NextStart);
    assert_eq!(domains.xml(domain, View::Definition).await.unwrap(), definition);
}

/// A transient domain has no definition, and is given none: `domain` has to be transient.
pub async fn a_transient_domain_is_left_alone(domains: &dyn Domains, domain: &DomainName) {
    let error = enforce(domains, domain, vf(0), Some(&client(0))).await.unwrap_err();
    assert_eq!(error, Error::Transient(domain.clone()));
    assert!(!domains.status(domain).await.unwrap().persistent);
}

/// VF `n` of the card of these tests.
fn vf(n: u8) -> Vf {
    Vf::new("0000:43:00.0".parse().unwrap(), n.into())
}

/// An interface with every part of it said.
fn client(n: u8) -> Interface {
    let socket = format!("/run/vdpa/0000:43:00.0-vf{n}.sock").into();
    Interface {
        mac: vdpa_hw::MacAddress::new([0xe4, 0x11, 0x22, 0x33, 0x55, 0x60 + n]),
        source: Source::VhostUser { socket, role: Role::Client { reconnect: Some(1) } },
        queues: 2.try_into().unwrap(),
        rx_ring: Some(1024),
        tx_ring: Some(1024),
        page_per_vq: true,
    }
}

fn kernel_source() -> Source {
    Source::Vdpa { device: "/dev/vhost-vdpa-0".into() }
}

/// `template` under another name and without its UUID.
fn named(template: &str, name: &str) -> String {
    let document = Document::parse(template).unwrap();
    let renamed =
        document.replace(document.at(&["name"]).unwrap(), |_| format!("<name>{name}</name>")).unwrap();
    let text = renamed.apply(template);
    let document = Document::parse(&text).unwrap();
    match document.at(&["uuid"]) {
        Some(uuid) => document.remove(uuid).unwrap().apply(&text),
        None => text,
    }
}

async fn define(domains: &dyn Domains, template: &str, name: &str) -> DomainName {
    domains.define(&named(template, name)).await.unwrap();
    name.parse().unwrap()
}
