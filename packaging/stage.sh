# Read by packaging/deb/build and packaging/rpm/build: their options, and the programs and documents that their packages are made of.
# They say before where packages go (`output_folder`), by which program they pack (`tool`), and in which release of it
# (`tool_version`): another one may lay out packages in another way.
#
# shellcheck shell=bash
# shellcheck disable=SC2154 # What is said before.
set -euo pipefail

packaging=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$packaging/.." && pwd)
build=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$build"
build=$(cd "$build" && pwd)
output=$build/$output_folder version='' triple='' programs='' packages=()
while (($#)); do
    case $1 in
    --output) output=$2; shift 2 ;;
    --version) version=$2; shift 2 ;;
    --target) triple=$2; shift 2 ;;
    --programs) programs=$(cd "$2" && pwd); shift 2 ;;
    wharf | wharf-agent | wharf-coordinator) packages+=("$1"); shift ;;
    *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
done
((${#packages[@]})) || packages=(wharf-agent wharf-coordinator wharf)
mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$root"
if [[ -z $version ]]; then
    version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)-1
fi

# What is packed lies here, where the tool looks for what a profile of this name has built.
stage=$build/${triple:+$triple/}staged

make_packages() {
    # Two at once would stage for each other.
    exec 9>"$build/.staged.lock"
    flock 9
    get_tool
    rm -rf "$stage"
    mkdir -p "$stage"
    local package
    for package in "${packages[@]}"; do
        stage_program "$package"
        stage_documents "$package"
    done
    for package in "${packages[@]}"; do
        pack "$package"
    done
}

# Compiled once.
get_tool() {
    local tools=$build/tools
    if [[ $("$tools/bin/$tool" --version 2>/dev/null) != *"$tool_version" ]]; then
        cargo install "$tool" --locked --version "=$tool_version" --root "$tools" --target-dir "$tools/build" >&2
        rm -rf "$tools/build"
    fi
    PATH=$tools/bin:$PATH
}

# The folder of the crate that a package is made of, which is its name for cargo as well but for the command line.
crate() {
    case $1 in
    wharf-agent) echo agent ;;
    wharf-coordinator) echo coordinator ;;
    wharf) echo cli ;;
    esac
}

# The agent has a profile of its own; it and the others are compiled without what only the rest of the workspace asks for.
stage_program() {
    local from=$programs profile=release strip=strip
    [[ $1 != wharf-agent ]] || profile=agent
    if [[ -z $from ]]; then
        cargo build --locked --profile "$profile" ${triple:+--target "$triple"} --package "$(crate "$1")" --bin "$1"
        from=$build/${triple:+$triple/}$profile
    fi
    [[ -z $triple ]] || strip=${triple/-unknown/}-strip
    "${STRIP:-$strip}" --strip-unneeded --remove-section=.comment -o "$stage/$1" "$from/$1"
}

stage_documents() {
    local into=$stage/documents/$1
    mkdir -p "$into/man"
    if [[ $1 == wharf ]]; then
        write_pages "$into"
    else
        cp "$packaging/deb/$1/$1.8" "$into/man/"
    fi
    write_more_documents "$1" "$into"
    gzip -9n "$into"/man/*
    # Everything that is linked into the program, with its licence.
    cargo tree --locked --package "$(crate "$1")" --edges normal --prefix none --no-dedupe \
        --format '{p} {l} {r}' ${triple:+--target "$triple"} |
        sed 's/ (\/[^)]*)//; s/ (proc-macro)//' | sort --unique >"$into/third-party"
}

# The command line knows its pages and completions; it has to run here for that.
write_pages() {
    local into=$1 wharf=${programs:-$stage}/wharf
    if [[ -n $triple ]]; then
        cargo build --locked --package cli --bin wharf
        wharf=$build/debug/wharf
    fi
    "$wharf" man "$into/man"
    mkdir -p "$into/completions"
    local shell
    for shell in bash zsh fish; do
        "$wharf" completion "$shell" >"$into/completions/$shell"
    done
}
