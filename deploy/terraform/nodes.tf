locals {
  node_config = coalesce(var.deepstream_config, templatefile("${path.module}/templates/deepstream.yml.tftpl", {
    drain_timeout = var.node_drain_timeout
  }))
}

locals {
  node_group = "${var.name}-node"

  node_user_data = join("\n", [
    templatefile("${path.module}/templates/boot.sh.tftpl", {
      program        = "deepstream"
      region         = data.aws_region.current.region
      fleet          = var.name
      group          = local.node_group
      hosted_zone    = aws_route53_zone.members.zone_id
      members        = local.members
      redis          = local.redis
      redis_secret   = aws_secretsmanager_secret.redis.arn
      gossip_secret  = aws_secretsmanager_secret.gossip.arn
      package        = var.deepstream_package
      package_sha256 = var.deepstream_package_sha256
      stop_seconds   = local.node_stop_seconds
      config         = local.node_config
    }),
    local.boot,
  ])
}

resource "aws_launch_template" "node" {
  name                   = local.node_group
  update_default_version = true
  image_id               = local.image
  instance_type          = var.node_instance_type
  vpc_security_group_ids = [aws_security_group.node.id, aws_security_group.member.id]
  user_data              = base64encode(local.node_user_data)
  ebs_optimized          = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.node.arn
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
    tags          = merge(local.tags, { Name = local.node_group, "dsproxy:role" = "deepstream" })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(local.tags, { Name = local.node_group })
  }

  tags = local.tags

  # A machine reads the secrets and sets the name when it starts.
  depends_on = [
    aws_secretsmanager_secret_version.redis,
    aws_secretsmanager_secret_version.gossip,
    aws_iam_role_policy.node,
  ]
}

resource "aws_autoscaling_group" "node" {
  name                = local.node_group
  vpc_zone_identifier = var.private_subnet_ids
  min_size            = var.nodes.min
  max_size            = var.nodes.max

  # dsproxy checks the nodes; systemd starts one again that has failed.
  health_check_type         = "EC2"
  health_check_grace_period = 120
  wait_for_capacity_timeout = "20m"

  launch_template {
    id      = aws_launch_template.node.id
    version = aws_launch_template.node.latest_version
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
    for_each = merge(local.tags, { Name = local.node_group, "dsproxy:role" = "deepstream" })
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
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_egress_rule.path,
    aws_vpc_security_group_ingress_rule.path,
  ]
}

# The machine itself sees that it is to go, drains, and completes the hook.
resource "aws_autoscaling_lifecycle_hook" "node" {
  name                   = "drain"
  autoscaling_group_name = aws_autoscaling_group.node.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  default_result         = "CONTINUE"
  heartbeat_timeout      = local.node_stop_seconds + 60
}

resource "aws_autoscaling_policy" "node" {
  name                      = "cpu"
  autoscaling_group_name    = aws_autoscaling_group.node.name
  policy_type               = "TargetTrackingScaling"
  estimated_instance_warmup = 90

  target_tracking_configuration {
    target_value = var.target_cpu
    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}
