# What a machine may do: read the two secrets and its package, list machines, set one
# DNS name, and complete the hooks of its own group.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "member" {
  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.redis.arn, aws_secretsmanager_secret.gossip.arn]
  }

  # EC2 has no narrower form of this one.
  statement {
    sid       = "ListMembers"
    actions   = ["ec2:DescribeInstances"]
    resources = ["*"]
  }

  statement {
    sid       = "SetMembers"
    actions   = ["route53:ChangeResourceRecordSets"]
    resources = [aws_route53_zone.members.arn]

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
      values   = [local.members]
    }
    condition {
      test     = "ForAllValues:StringEquals"
      variable = "route53:ChangeResourceRecordSetsRecordTypes"
      values   = ["A"]
    }
  }

  statement {
    sid       = "AwaitChange"
    actions   = ["route53:GetChange"]
    resources = ["arn:${data.aws_partition.current.partition}:route53:::change/*"]
  }
}

locals {
  # s3://bucket/key as an ARN; no statement for a package from elsewhere.
  package_arns = {
    proxy = [for u in [var.dsproxy_package] : "arn:${data.aws_partition.current.partition}:s3:::${trimprefix(u, "s3://")}" if startswith(u, "s3://")]
    node  = [for u in [var.deepstream_package] : "arn:${data.aws_partition.current.partition}:s3:::${trimprefix(u, "s3://")}" if startswith(u, "s3://")]
  }

  group_arns = "arn:${data.aws_partition.current.partition}:autoscaling:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:autoScalingGroup:*:autoScalingGroupName"
}

data "aws_iam_policy_document" "proxy" {
  source_policy_documents = [data.aws_iam_policy_document.member.json]

  statement {
    sid       = "Hooks"
    actions   = ["autoscaling:CompleteLifecycleAction"]
    resources = ["${local.group_arns}/${local.proxy_group}"]
  }

  dynamic "statement" {
    for_each = local.package_arns.proxy
    content {
      sid       = "Package"
      actions   = ["s3:GetObject"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "proxy" {
  name_prefix          = "${var.name}-proxy-"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "proxy" {
  name   = "member"
  role   = aws_iam_role.proxy.id
  policy = data.aws_iam_policy_document.proxy.json
}

resource "aws_iam_role_policy_attachment" "proxy_session_manager" {
  count      = var.session_manager ? 1 : 0
  role       = aws_iam_role.proxy.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "proxy" {
  name_prefix = "${var.name}-proxy-"
  role        = aws_iam_role.proxy.name
  tags        = local.tags
}

data "aws_iam_policy_document" "node" {
  source_policy_documents = [data.aws_iam_policy_document.member.json]

  statement {
    sid       = "Hooks"
    actions   = ["autoscaling:CompleteLifecycleAction"]
    resources = ["${local.group_arns}/${local.node_group}"]
  }

  dynamic "statement" {
    for_each = local.package_arns.node
    content {
      sid       = "Package"
      actions   = ["s3:GetObject"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "node" {
  name_prefix          = "${var.name}-node-"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "node" {
  name   = "member"
  role   = aws_iam_role.node.id
  policy = data.aws_iam_policy_document.node.json
}

resource "aws_iam_role_policy_attachment" "node_session_manager" {
  count      = var.session_manager ? 1 : 0
  role       = aws_iam_role.node.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "node" {
  name_prefix = "${var.name}-node-"
  role        = aws_iam_role.node.name
  tags        = local.tags
}
