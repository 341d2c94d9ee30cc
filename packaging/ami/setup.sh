#!/bin/sh
# Makes a machine ready to be a node: Docker Engine, settings of the kernel, the agent, and what a new machine does once. It is
# one file, and the same for `wharf bake`, Packer, EC2 Image Builder and whoever does it by hand; docs/images.md says how each
# uses it. For Debian 12 and 13, Ubuntu 24.04 and Amazon Linux 2023.
#
# usage: setup.sh                does all of it, as root; run again it changes nothing
#        setup.sh --check        names what is not as it should be, and ends with 1 when there is something
#        setup.sh --scrub        takes away what belongs to this machine alone; for an image that `wharf bake` does not make
#        setup.sh --first-boot   is for wharf-first-boot.service
#
# It reads from the environment:
#   WHARF_PACKAGE          the agent's package, a file or https://…; not needed where the agent is installed
#   WHARF_PACKAGE_SHA256   the digest of that; has to be given with an address
#   WHARF_ADDR, WHARF_JOIN, WHARF_AUTHORITY
#                          go into /etc/wharf/agent.env (docs/aws.md); what is not given stays as it is
set -eu

kept=/usr/lib/wharf/setup.sh
engine_settings=/etc/docker/daemon.json
kernel_settings=/etc/sysctl.d/90-wharf.conf
agent_settings=/etc/wharf/agent.env
instance_settings=/etc/wharf/instance.env
first_boot_unit=/etc/systemd/system/wharf-first-boot.service
agent_unit_more=/etc/systemd/system/wharf-agent.service.d/50-first-boot.conf
# What the launch template has told this instance, as cloud-init keeps it.
user_data=/var/lib/cloud/instance/user-data.txt

say() { echo "setup.sh: $*"; }
fail() {
    say "$*" >&2
    exit 1
}

# What the files say that are written.

# Containers go on while the engine is restarted or upgraded; its own default ends them. Logs are kept by the engine without a
# limit by default, and would fill the disk. Nothing else is set: limits of open files are those of the engine's unit, or of
# /etc/sysconfig/docker on Amazon Linux (where a second value here would keep the engine from starting), and a service that needs
# others says so in its Compose file.
engine_settings() {
    cat <<'END'
{
  "live-restore": true,
  "log-driver": "json-file",
  "log-opts": {
    "max-size": "10m",
    "max-file": "3"
  }
}
END
}

# Not here: net.ipv4.ip_forward, because an engine that finds it set no longer closes the FORWARD chain, and would leave the machine
# a router; br_netfilter, overlay and other modules, because the engine loads what it needs.
kernel_settings() {
    cat <<'END'
# Written by setup.sh of Wharf.

# All containers that run as the same user share these, and the kernel gives each user 128: a few dozen programs that watch
# files use them up, and the next fails with "too many open files".
fs.inotify.max_user_instances = 8192

# Nothing can raise it for one container, and databases that map their files (OpenSearch, for one) do not start with the kernel's
# 65530. This is what Ubuntu 24.04 has.
vm.max_map_count = 1048576

# A kernel that has failed starts again. By default it stands still until somebody ends the machine, and whether its containers run
# can not be known from outside.
kernel.panic = 10
END
}

first_boot_unit() {
    cat <<END
# Written by setup.sh of Wharf.
[Unit]
Description=What a new machine does before its Wharf agent starts for the first time
# cloud-init has what the launch template says by then; its unit has another name since 24.3.
After=cloud-init.service cloud-init-network.service network-online.target
Before=wharf-agent.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$kept --first-boot
ProtectSystem=strict
ReadWritePaths=/etc/wharf
ProtectHome=yes
PrivateTmp=yes
PrivateNetwork=yes
PrivateDevices=yes
NoNewPrivileges=yes
END
}

agent_unit_more() {
    cat <<END
# Written by setup.sh of Wharf.
[Unit]
Wants=wharf-first-boot.service
After=wharf-first-boot.service

[Service]
# What this instance was told; it has precedence over what the image says.
EnvironmentFile=-$instance_settings
END
}

# What is done.

# Has a file be what comes in, with this mode. Fails nowhere half way: it is written beside its place.
put() {
    mkdir -p "${1%/*}"
    cat >"$1.wharf-new"
    chmod "$2" "$1.wharf-new"
    if [ -f "$1" ] && [ "$(cat "$1")" = "$(cat "$1.wharf-new")" ] && [ "$(stat -c %a "$1")" = "$2" ]; then
        rm "$1.wharf-new"
        return
    fi
    mv "$1.wharf-new" "$1"
    say "wrote $1"
}

# Which of the two kinds of distributions this is.
find_family() {
    [ -r /etc/os-release ] || fail "there is no /etc/os-release: which distribution is this?"
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$ID ${VERSION_ID:-}")
    case $release in
    "debian 12" | "debian 13" | "ubuntu 24.04") family=apt ;;
    "amzn 2023"*) family=dnf ;;
    *) fail "this is $release; known are Debian 12 and 13, Ubuntu 24.04 and Amazon Linux 2023" ;;
    esac
}

# What else uses apt on a machine that has just booted is waited for.
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get --yes --no-install-recommends -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confold "$@"
}

has_package() {
    case $family in
    apt) [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    dnf) rpm --quiet --query "$1" ;;
    esac
}

# The distribution's, which it keeps safe. Its settings are there before it starts for the first time.
install_engine() {
    if [ "$family" = dnf ]; then
        has_package docker || dnf install --assumeyes docker
        return
    fi
    wanted=''
    has_package docker.io || wanted=docker.io
    # Registries are known by these; cloud images have them.
    has_package ca-certificates || wanted="$wanted ca-certificates"
    if [ -n "$wanted" ] || ! command -v docker >/dev/null; then
        apt update
        # Debian 13 has the command line apart from the engine.
        if [ -n "$(apt-cache show docker-cli 2>/dev/null)" ]; then wanted="$wanted docker-cli"; fi
        # shellcheck disable=SC2086 # These are words.
        apt install $wanted
    fi
}

# Whoever has written settings of his own keeps them, when they say what is needed.
set_engine() {
    if [ -e "$engine_settings" ]; then
        lacks=$(engine_settings_lack)
        [ -z "$lacks" ] || fail "$engine_settings is there and is left as it is; add to it by hand:$lacks"
    else
        engine_settings | put "$engine_settings" 644
    fi
    install_engine
    systemctl enable --quiet docker.service
    systemctl start docker.service
    [ "$(engine_says)" != "$engine_is_to_say" ] || return 0
    # It ran before. Told first to leave its containers alone, it does so when it is restarted, which the rest needs.
    # Not by `systemctl reload`, which needs a program that small machines do not have.
    kill -s HUP "$(systemctl show --property MainPID --value docker.service)"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        case $(engine_says) in true*) break ;; esac
        sleep 1
    done
    case $(engine_says) in
    true*) systemctl restart docker.service ;;
    *) fail "the engine was told of live-restore and does not do it: is it part of a swarm?" ;;
    esac
}

engine_is_to_say='true json-file'
engine_says() {
    docker info --format '{{.LiveRestoreEnabled}} {{.LoggingDriver}}' 2>/dev/null || echo 'nothing'
}

# What the engine's settings do not say. Nothing on every machine reads JSON; what is asked for is found without.
engine_settings_lack() {
    text=$({ tr -d '[:space:]' <"$engine_settings"; } 2>/dev/null || true)
    for setting in '"live-restore":true' '"log-driver":"json-file"' '"max-size":' '"max-file":'; do
        case $text in
        *"$setting"*) ;;
        *) printf ' %s' "$setting" ;;
        esac
    done
}

set_kernel() {
    kernel_settings | put "$kernel_settings" 644
    /usr/lib/systemd/systemd-sysctl "$kernel_settings" || say "the kernel does not take all of $kernel_settings here"
}

# Neither started by its installation nor afterwards: on the machine that becomes an image it would join, and leave its identity.
install_agent() {
    if [ -z "${WHARF_PACKAGE:-}" ]; then
        [ -x /usr/bin/wharf-agent ] || fail "the agent is not installed: give its package in WHARF_PACKAGE"
    else
        folder=$(mktemp -d)
        get_package "$folder"
        systemctl is-active --quiet wharf-agent.service || systemctl mask --runtime --quiet wharf-agent.service
        done=yes
        case $family in
        apt) apt install "$folder"/*.deb || done=no ;;
        dnf) dnf install --assumeyes "$folder"/*.rpm || done=no ;;
        esac
        systemctl unmask --runtime --quiet wharf-agent.service
        rm -r "$folder"
        [ "$done" = yes ] || fail "$WHARF_PACKAGE can not be installed"
    fi
    first_boot_unit | put "$first_boot_unit" 644
    agent_unit_more | put "$agent_unit_more" 644
    for name in WHARF_ADDR WHARF_JOIN WHARF_AUTHORITY; do
        eval "value=\${$name:-}"
        # shellcheck disable=SC2154 # By the line above.
        [ -z "$value" ] || set_agent "$name" "$value"
    done
    systemctl daemon-reload
    systemctl enable --quiet wharf-agent.service
}

# Has the package in a folder, under a name that its installer knows.
get_package() {
    case $family in
    apt) file=$1/agent.deb ;;
    dnf) file=$1/agent.rpm ;;
    esac
    case $WHARF_PACKAGE in
    https://*)
        [ -n "${WHARF_PACKAGE_SHA256:-}" ] || fail "an address in WHARF_PACKAGE needs WHARF_PACKAGE_SHA256 beside it"
        command -v curl >/dev/null || apt install curl
        curl --fail --silent --show-error --location --retry 5 --output "$file" "$WHARF_PACKAGE"
        ;;
    *) cp "$WHARF_PACKAGE" "$file" ;;
    esac
    if [ -n "${WHARF_PACKAGE_SHA256:-}" ]; then
        echo "$WHARF_PACKAGE_SHA256  $file" | sha256sum --check --status ||
            fail "$WHARF_PACKAGE does not have the digest $WHARF_PACKAGE_SHA256"
    fi
    # apt fetches as a user who may not look into this folder otherwise.
    chmod 755 "$1"
}

# Has a line in the agent's settings, in the place of the one that shows the default.
set_agent() {
    case $2 in
    *[!A-Za-z0-9._:/@+=-]*) fail "$1 can not be '$2'" ;;
    esac
    if grep -q "^#\{0,1\}$1=" "$agent_settings"; then
        sed "s|^#\{0,1\}$1=.*|$1=$2|" "$agent_settings" | put "$agent_settings" "$(stat -c %a "$agent_settings")"
    else
        { cat "$agent_settings"; echo "$1=$2"; } | put "$agent_settings" "$(stat -c %a "$agent_settings")"
    fi
}

keep_script() {
    [ -f "$0" ] || fail "it is kept for later, and has to be run as a file"
    [ "$(readlink -f "$0")" = "$kept" ] || put "$kept" 755 <"$0"
}

set_up() {
    find_family
    keep_script
    set_kernel
    set_engine
    install_agent
    check
}

# What is looked at.

lack() {
    lacking=yes
    say "missing: $*"
}

is_as_written() {
    [ "$("$1")" = "$(cat "$2" 2>/dev/null)" ] || lack "$2 as this script writes it"
}

check() {
    lacking=no
    is_as_written kernel_settings "$kernel_settings"
    is_as_written first_boot_unit "$first_boot_unit"
    is_as_written agent_unit_more "$agent_unit_more"
    check_kernel
    lacks=$(engine_settings_lack)
    [ -z "$lacks" ] || lack "in $engine_settings$lacks"
    check_engine
    [ -x "$kept" ] || lack "$kept"
    [ -x /usr/bin/wharf-agent ] || lack "/usr/bin/wharf-agent: the agent is not installed"
    is_enabled wharf-agent.service
    for name in WHARF_ADDR WHARF_JOIN WHARF_AUTHORITY; do
        eval "value=\${$name:-}"
        [ -z "$value" ] || grep -qxF "$name=$value" "$agent_settings" || lack "$name=$value in $agent_settings"
    done
    [ "$lacking" = no ] || exit 1
    say "this machine is as a node should be"
}

# What holds now may be more than is asked for.
check_kernel() {
    settings=$(kernel_settings | sed -n 's/^\([a-z][a-z_.]*\) = /\1 /p')
    while read -r name value; do
        now=$(cat "/proc/sys/$(echo "$name" | tr . /)" 2>/dev/null || echo 0)
        [ "$now" -ge "$value" ] || lack "$name is $now, and should be $value"
    done <<END
$settings
END
}

check_engine() {
    is_enabled docker.service
    said=$(engine_says)
    [ "$said" = "$engine_is_to_say" ] || lack "an engine that says '$engine_is_to_say' of live-restore and logs; it says '$said'"
}

is_enabled() {
    systemctl is-enabled --quiet "$1" 2>/dev/null || lack "$1 is not enabled"
}

# What a new machine does once.

# Takes what the launch template says, when that is nothing but settings. Which machine they are of is written down with them: what
# came with the disk of another one does not count.
first_boot() {
    own="# What machine $(cat /etc/machine-id) was told when it was new."
    [ "$(sed -n 1p "$instance_settings" 2>/dev/null)" != "$own" ] || return 0
    {
        echo "$own"
        if is_settings "$user_data"; then grep '^WHARF_[A-Z0-9_]*=' "$user_data" || true; fi
    } | put "$instance_settings" 644
}

# A script, a cloud-config or an archive is cloud-init's, and may set anything itself: write_files comes before the agent.
is_settings() {
    [ -f "$1" ] || return 1
    case $(sed -n 1p "$1") in
    '#!'* | '#cloud-'*) return 1 ;;
    esac
    [ -z "$(sed -e '/^[[:space:]]*$/d' -e '/^#/d' -e '/^[A-Z][A-Z0-9_]*=/d' "$1")" ]
}

# What `wharf bake` takes away as well (agent/src/bake/scrub.rs); a test holds both lists together.
gone() {
    cat <<'END'
/var/lib/wharf/agent/*
/etc/wharf/instance.env
/etc/ssh/ssh_host_*
/root/.ssh/authorized_keys
/home/*/.ssh/authorized_keys
/root/.docker/config.json
/home/*/.docker/config.json
/root/.aws
/home/*/.aws
/root/.bash_history
/home/*/.bash_history
/etc/docker/key.json
/var/lib/docker/engine-id
/var/lib/cloud/instance
/var/lib/cloud/instances/*
/var/lib/cloud/data/*
/var/lib/cloud/sem/*
/var/lib/systemd/random-seed
/var/lib/systemd/credential.secret
/var/lib/dhcp/*
/var/lib/NetworkManager/*lease*
/var/log/journal/*
END
}

scrub() {
    systemctl stop wharf-agent.service 2>/dev/null || true
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes
    fi
    if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
    if command -v apt-get >/dev/null; then apt-get clean; rm -rf /var/lib/apt/lists/*; fi
    if command -v dnf >/dev/null; then dnf clean all; fi
    journalctl --rotate 2>/dev/null || true
    find /var/log -type f ! -path '/var/log/journal/*' -exec truncate --size 0 {} +
    # Image Builder works in some of these until the end, and takes them away itself.
    find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name 'TOE_*' -exec rm -rf {} +
    # shellcheck disable=SC2046 # These are patterns.
    rm -rf -- $(gone)
    # The next machine makes its own (machine-id(5)).
    : >/etc/machine-id
    [ ! -f "$agent_settings" ] ||
        sed -i -E '/^[[:space:]]*(WHARF_NODE|WHARF_ZONE|WHARF_AMI|WHARF_INSTANCE_TYPE|WHARF_JOIN_TOKEN)[[:space:]]*=/d' "$agent_settings"
    sync
    left=''
    for path in $(gone); do
        if [ -e "$path" ] || [ -L "$path" ]; then left="$left $path"; fi
    done
    [ ! -s /etc/machine-id ] || left="$left /etc/machine-id"
    [ -z "$left" ] || fail "it is not clean, and would be in the image:$left"
    say "is clean"
}

[ "$(id -u)" = 0 ] || fail "this is for root"
case ${1:-} in
'')
    [ -d /run/systemd/system ] || fail "a node is a machine with systemd, and this is none"
    set_up
    ;;
--check) check ;;
--scrub) scrub ;;
--first-boot) first_boot ;;
*)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
