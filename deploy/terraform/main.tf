# A fleet of deepstream nodes behind dsproxy replicas, as one module:
#
#   alb.tf       balancer; 443 to the proxies, 80 redirects
#   proxy.tf     the proxies' auto scaling group
#   nodes.tf     the nodes' auto scaling group
#   members.tf   the name by which they find each other
#   redis.tf     Redis: records, bus, and the table of sessions
#   secrets.tf   Redis' AUTH token and the gossip key
#   security.tf  who may reach whom
#   iam.tf       what a machine may do
#   alarms.tf    alarms, if a topic is given
#
# boot/boot.sh sets a machine up, after the lines of templates/boot.sh.tftpl.

data "aws_region" "current" {}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_subnet" "public" {
  count = length(var.public_subnet_ids) # the ids may not be known yet
  id    = var.public_subnet_ids[count.index]
}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.architecture}"
}

locals {
  image = coalesce(var.image_id, data.aws_ssm_parameter.image.insecure_value)

  # The same in both programs, in their configuration and in the security groups.
  port_proxy      = 8080
  port_ready      = 9180
  port_node       = 6020
  port_node_admin = 9120
  port_gossip     = 7946
  port_redis      = 6379

  # A proxy closes idle connections after the balancer has.
  proxy_idle_timeout = var.idle_timeout + 15

  # The balancer lets a leaving proxy's connections live for as long as the proxy
  # takes to drain.
  deregistration_delay = var.drain_delay + var.drain_timeout

  # systemd kills what has not drained by then.
  proxy_stop_seconds = var.drain_delay + var.drain_timeout + 15
  node_stop_seconds  = var.node_drain_timeout + 30

  tags = merge(var.tags, { "dsproxy:fleet" = var.name })

  boot = file("${path.module}/boot/boot.sh")
}
