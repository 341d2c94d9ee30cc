# Packer makes an image for nodes of Wharf with this: setup.sh does all of it. docs/images.md says how to run it.

packer {
  required_version = ">= 1.9.0"
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "region" {
  type        = string
  description = "Where the image is made."
}

variable "architecture" {
  type        = string
  description = "x86_64 or arm64."
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "The architecture has to be x86_64 or arm64."
  }
}

variable "base" {
  type        = string
  description = "The parameter of SSM that names the base; Debian 13 for the architecture when it is empty."
  default     = ""
}

variable "user" {
  type        = string
  description = "Who Packer is on the base: admin on Debian, ubuntu on Ubuntu, ec2-user on Amazon Linux."
  default     = "admin"
}

variable "package" {
  type        = string
  description = "The agent's package for that distribution and architecture, a file on this machine."
}

variable "package_sha256" {
  type        = string
  description = "Its SHA-256."
}

variable "address" {
  type        = string
  description = "Where nodes reach the coordinator, HOST:PORT."
}

variable "join" {
  type        = string
  description = "How nodes join (docs/aws.md)."
  default     = "aws-sts"
}

variable "authority" {
  type        = string
  description = "What `wharf token authority` prints. It is no secret."
}

locals {
  debian = {
    x86_64 = "/aws/service/debian/release/13/latest/amd64"
    arm64  = "/aws/service/debian/release/13/latest/arm64"
  }
  types = {
    x86_64 = "m7i.large"
    arm64  = "m7g.large"
  }
  base = var.base == "" ? local.debian[var.architecture] : var.base
}

data "amazon-parameterstore" "base" {
  region = var.region
  name   = local.base
}

source "amazon-ebs" "node" {
  region        = var.region
  source_ami    = data.amazon-parameterstore.base.value
  instance_type = local.types[var.architecture]
  ssh_username  = var.user
  ami_name      = "wharf-node-${var.architecture}-${formatdate("YYYYMMDD-hhmmss", timestamp())}"
  # Machines from the image answer only the second version of the metadata service, as this one does.
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  tags = {
    Name         = "wharf-node"
    "wharf:base" = local.base
  }
}

build {
  sources = ["source.amazon-ebs.node"]

  # What cloud-init still does would be in the way of the package manager.
  provisioner "shell" {
    inline = ["cloud-init status --wait || true"]
  }

  provisioner "file" {
    source      = var.package
    destination = "/tmp/wharf-package"
  }

  provisioner "shell" {
    script = "${path.root}/setup.sh"
    environment_vars = [
      "WHARF_PACKAGE=/tmp/wharf-package",
      "WHARF_PACKAGE_SHA256=${var.package_sha256}",
      "WHARF_ADDR=${var.address}",
      "WHARF_JOIN=${var.join}",
      "WHARF_AUTHORITY=${var.authority}",
    ]
    execute_command = "sudo env {{ .Vars }} sh {{ .Path }}"
  }

  # Last: it takes away the key by which Packer came, and what Packer has put into /tmp.
  provisioner "shell" {
    inline     = ["sudo /usr/lib/wharf/setup.sh --check", "sudo /usr/lib/wharf/setup.sh --scrub"]
    skip_clean = true
  }
}
