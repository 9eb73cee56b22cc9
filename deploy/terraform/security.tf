# Who may reach whom. Nothing else is open: no SSH, and no way in from the world but
# the balancer.

resource "aws_security_group" "alb" {
  name_prefix = "${var.name}-alb-"
  description = "The balancer of the fleet ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-alb" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "proxy" {
  name_prefix = "${var.name}-proxy-"
  description = "The proxies of the fleet ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-proxy" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "node" {
  name_prefix = "${var.name}-node-"
  description = "The nodes of the fleet ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-node" })

  lifecycle {
    create_before_destroy = true
  }
}

# What proxies and nodes have in common: gossip, Redis, and the way out.
resource "aws_security_group" "member" {
  name_prefix = "${var.name}-member-"
  description = "All proxies and nodes of the fleet ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-member" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "redis" {
  name_prefix = "${var.name}-redis-"
  description = "Redis of the fleet ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-redis" })

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  groups = {
    alb    = aws_security_group.alb.id
    proxy  = aws_security_group.proxy.id
    node   = aws_security_group.node.id
    member = aws_security_group.member.id
    redis  = aws_security_group.redis.id
  }

  # One line for each pair that may talk; it makes the rule out and the rule in.
  # Of the admin ports only the proxies' is here, for the balancer's health check.
  paths = {
    requests   = { from = "alb", to = "proxy", port = local.port_proxy, protocol = "tcp" }
    readiness  = { from = "alb", to = "proxy", port = local.port_ready, protocol = "tcp" }
    sessions   = { from = "proxy", to = "node", port = local.port_node, protocol = "tcp" }
    redis      = { from = "member", to = "redis", port = local.port_redis, protocol = "tcp" }
    gossip_tcp = { from = "member", to = "member", port = local.port_gossip, protocol = "tcp" }
    gossip_udp = { from = "member", to = "member", port = local.port_gossip, protocol = "udp" }
  }
}

resource "aws_vpc_security_group_ingress_rule" "path" {
  for_each = local.paths

  security_group_id            = local.groups[each.value.to]
  referenced_security_group_id = local.groups[each.value.from]
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.key
}

resource "aws_vpc_security_group_egress_rule" "path" {
  for_each = local.paths

  security_group_id            = local.groups[each.value.from]
  referenced_security_group_id = local.groups[each.value.to]
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.key
}

resource "aws_vpc_security_group_ingress_rule" "proxy_metrics" {
  count = length(var.prometheus_security_group_ids)

  security_group_id            = aws_security_group.proxy.id
  referenced_security_group_id = var.prometheus_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = local.port_ready
  to_port                      = local.port_ready
  description                  = "metrics"
}

resource "aws_vpc_security_group_ingress_rule" "node_metrics" {
  count = length(var.prometheus_security_group_ids)

  security_group_id            = aws_security_group.node.id
  referenced_security_group_id = var.prometheus_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = local.port_node_admin
  to_port                      = local.port_node_admin
  description                  = "metrics"
}

resource "aws_vpc_security_group_ingress_rule" "world" {
  for_each = {
    for pair in setproduct(var.ingress_cidrs, [80, 443]) : "${pair[0]} ${pair[1]}" => { cidr = pair[0], port = pair[1] }
  }

  security_group_id = aws_security_group.alb.id
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  description       = "clients"
}

# The AWS APIs, the package, and Amazon Linux's updates.
resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.member.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "AWS APIs and packages"
}
