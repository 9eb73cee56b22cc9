locals {
  proxy_config = templatefile("${path.module}/templates/dsproxy.yaml.tftpl", {
    trust         = jsonencode([for s in data.aws_subnet.public : s.cidr_block])
    idle          = local.proxy_idle_timeout
    drain_delay   = var.drain_delay
    drain_timeout = var.drain_timeout
  })
}

locals {
  proxy_group = "${var.name}-proxy"

  proxy_user_data = join("\n", [
    templatefile("${path.module}/templates/boot.sh.tftpl", {
      program        = "dsproxy"
      region         = data.aws_region.current.region
      fleet          = var.name
      group          = local.proxy_group
      hosted_zone    = aws_route53_zone.members.zone_id
      members        = local.members
      redis          = local.redis
      redis_secret   = aws_secretsmanager_secret.redis.arn
      gossip_secret  = aws_secretsmanager_secret.gossip.arn
      package        = var.dsproxy_package
      package_sha256 = var.dsproxy_package_sha256
      stop_seconds   = local.proxy_stop_seconds
      config         = local.proxy_config
    }),
    local.boot,
  ])
}

resource "aws_launch_template" "proxy" {
  name                   = local.proxy_group
  update_default_version = true
  image_id               = local.image
  instance_type          = var.proxy_instance_type
  vpc_security_group_ids = [aws_security_group.proxy.id, aws_security_group.member.id]
  user_data              = base64encode(local.proxy_user_data)
  ebs_optimized          = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.proxy.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required" # IMDSv2
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = true
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = 10
      encrypted             = true
      delete_on_termination = true
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(local.tags, { Name = local.proxy_group, "dsproxy:role" = "dsproxy" })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(local.tags, { Name = local.proxy_group })
  }

  tags = local.tags

  # A machine reads the secrets and sets the name when it starts.
  depends_on = [
    aws_secretsmanager_secret_version.redis,
    aws_secretsmanager_secret_version.gossip,
    aws_iam_role_policy.proxy,
  ]
}

resource "aws_autoscaling_group" "proxy" {
  name                = local.proxy_group
  vpc_zone_identifier = var.private_subnet_ids
  min_size            = var.proxies.min
  max_size            = var.proxies.max

  target_group_arns = [aws_lb_target_group.proxy.arn]
  # Not ELB: a proxy without a node is not ready, and another would be no better.
  health_check_type         = "EC2"
  health_check_grace_period = 120
  wait_for_capacity_timeout = "20m"

  launch_template {
    id      = aws_launch_template.proxy.id
    version = aws_launch_template.proxy.latest_version
  }

  # A machine that is not ready in time is given up. The machine completes the hook
  # (boot/boot.sh).
  initial_lifecycle_hook {
    name                 = "boot"
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    default_result       = "ABANDON"
    heartbeat_timeout    = 600
  }

  # A change of package or configuration replaces the machines, new ones first.
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
      instance_warmup        = 90
      auto_rollback          = true
    }
  }

  dynamic "tag" {
    for_each = merge(local.tags, { Name = local.proxy_group, "dsproxy:role" = "dsproxy" })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }

  # What a machine needs from its first to its last moment.
  depends_on = [
    aws_lb_listener.https,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_egress_rule.path,
    aws_vpc_security_group_ingress_rule.path,
  ]
}

# The machine itself sees that it is to go, drains, and completes the hook.
resource "aws_autoscaling_lifecycle_hook" "proxy" {
  name                   = "drain"
  autoscaling_group_name = aws_autoscaling_group.proxy.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  default_result         = "CONTINUE"
  heartbeat_timeout      = local.proxy_stop_seconds + 60
}

resource "aws_autoscaling_policy" "proxy" {
  name                      = "cpu"
  autoscaling_group_name    = aws_autoscaling_group.proxy.name
  policy_type               = "TargetTrackingScaling"
  estimated_instance_warmup = 90

  target_tracking_configuration {
    target_value = var.target_cpu
    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}
