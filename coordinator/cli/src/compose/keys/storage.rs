//! The keys of volumes and configs.

use super::{Key, ignored, no, partly, yes};

/// `services.*.volumes[]`
pub(in super::super) static MOUNT: &[Key] = &[
    partly("type", "`volume`, `bind` and `tmpfs`"),
    yes("source"),
    yes("target"),
    yes("read_only"),
    yes("tmpfs").keys(MOUNT_TMPFS),
    partly("bind", "see its keys").keys(MOUNT_BIND),
    partly("volume", "see its keys").keys(MOUNT_VOLUME),
    no("consistency", "leave it out"),
    no("image", "copy what is needed into the image of the service"),
];

/// `services.*.volumes[].tmpfs`
pub(in super::super) static MOUNT_TMPFS: &[Key] = &[yes("size"), no("mode", "leave it out")];

/// `services.*.volumes[].bind`
static MOUNT_BIND: &[Key] = &[
    no("create_host_path", "make the directory on the nodes, or use a named volume"),
    no("propagation", "leave it out"),
    no("recursive", "leave it out"),
    no("selinux", "leave it out"),
];

/// `services.*.volumes[].volume`
static MOUNT_VOLUME: &[Key] = &[
    no("labels", "leave it out"),
    no("nocopy", "leave it out"),
    no("subpath", "use a volume of its own"),
];

/// `volumes.*`
pub(in super::super) static VOLUME: &[Key] = &[
    partly("driver", "only `local`"),
    ignored("labels", "volumes are labelled by Wharf"),
    no("driver_opts", "leave it out, or mount the file system on the nodes and use its path"),
    partly(
        "external",
        "somebody has made it on the nodes, and tasks go only where it is: see placement.md",
    ),
    partly("name", "only of one that is `external`: its name on the engines"),
];

/// `services.*.configs[]`
pub(in super::super) static CONFIG_USE: &[Key] =
    &[yes("source"), yes("target"), yes("uid"), yes("gid"), partly("mode", "octal: `0444`")];

/// `services.*.secrets[]`
pub(in super::super) static SECRET_USE: &[Key] = &[
    yes("source"),
    partly("target", "a name in `/run/secrets`, or the absolute path of a file elsewhere"),
    partly("uid", "that of `user` when it is left out, if that is a number; else 0"),
    partly("gid", "that of `user` when it is left out, if that is a number; else 0"),
    partly("mode", "octal; `0400` when it is left out"),
];

/// `secrets.*`
pub(in super::super) static SECRET: &[Key] = &[
    partly("external", "always `true`: the value is set with `wharf secret set`, or is at AWS"),
    partly("name", "how the cluster calls it, when that is not how the file does"),
    no(
        "file",
        "give it its value with `wharf secret set NAME --file FILE`, and write `external: true`",
    ),
    no("environment", "give it its value with `wharf secret set NAME`, and write `external: true`"),
    no("driver", "leave it out"),
    no("driver_opts", "leave it out"),
    no("labels", "leave it out"),
    no("template_driver", "leave it out"),
    partly("x-wharf", "see its keys").keys(SECRET_WHARF),
];

/// `secrets.*.x-wharf`
static SECRET_WHARF: &[Key] = &[partly(
    "from",
    "where AWS keeps the value: `ssm:NAME`, `secretsmanager:NAME#KEY`, or an ARN as in `valueFrom` of ECS: see secrets.md",
)];

/// `configs.*`
pub(in super::super) static CONFIG: &[Key] = &[
    yes("file"),
    yes("content"),
    yes("environment"),
    ignored("labels", "a config is a file in the container, which has no labels"),
    no("external", "give the content with `file`"),
    no("name", "leave it out; the key is the name"),
    no("template_driver", "use variables in `content`"),
];
