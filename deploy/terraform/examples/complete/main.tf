# A fleet with a network and a certificate of its own, ready to apply.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
    random = {
      source  = "hashicorp/random"
      version = ">= 3.5"
    }
  }

  # The state holds the Redis AUTH token: keep it encrypted, for instance
  # backend "s3" { bucket = "...", key = "deepstream", use_lockfile = true }
}

provider "aws" {
  region = var.region
}

module "fleet" {
  source = "../.."

  name               = var.name
  vpc_id             = aws_vpc.this.id
  public_subnet_ids  = [for a in aws_route_table_association.public : a.subnet_id]
  private_subnet_ids = [for a in aws_route_table_association.private : a.subnet_id]
  certificate_arn    = aws_acm_certificate_validation.this.certificate_arn

  architecture              = "arm64"
  dsproxy_package           = var.dsproxy_package
  dsproxy_package_sha256    = var.dsproxy_package_sha256
  deepstream_package        = var.deepstream_package
  deepstream_package_sha256 = var.deepstream_package_sha256

  deepstream_config = file("${path.module}/deepstream.yml")

  proxies = { min = 2, max = 6 }
  nodes   = { min = 2, max = 6 }

  session_manager = true
  alarm_topic_arn = var.alarm_topic_arn
}
