//! The keys of ports and networks.

use super::{Key, ignored, no, partly, yes};

/// `services.*.ports[]`
pub(in super::super) static PORT: &[Key] = &[
    yes("target"),
    partly("published", "a number; the node chooses one when it is left out or 0"),
    yes("host_ip"),
    partly("protocol", "`tcp` and `udp`"),
    partly(
        "mode",
        "`host` and `ingress`, which are the same: a port is published where the task runs",
    ),
    partly("name", "documentation only"),
    partly("app_protocol", "documentation only"),
];

/// `services.*.networks.*`
pub(in super::super) static ATTACHMENT: &[Key] = &[
    yes("aliases"),
    no("driver_opts", "leave it out"),
    no("gw_priority", "leave it out"),
    no("interface_name", "leave it out"),
    no("ipv4_address", "leave it out; services reach each other by the service name"),
    no("ipv6_address", "leave it out; services reach each other by the service name"),
    no("link_local_ips", "leave it out"),
    no("mac_address", "leave it out"),
    no("priority", "leave it out"),
];

/// `networks.*`
pub(in super::super) static NETWORK: &[Key] = &[
    partly("driver", "only `default` and `bridge`"),
    ignored("labels", "networks are labelled by Wharf"),
    no("attachable", "leave it out"),
    no("driver_opts", "leave it out"),
    no("enable_ipv4", "leave it out"),
    no("enable_ipv6", "leave it out"),
    no("external", "leave it out; Wharf makes the networks of a project"),
    no(
        "internal",
        "leave it out, and keep what is inside away from others by the rules of the nodes' network",
    ),
    no("ipam", "leave it out; addresses are allotted by Wharf"),
    no("name", "leave it out; Wharf names networks"),
];
