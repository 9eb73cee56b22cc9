# The name that --join is given. Each machine sets the record from EC2's list of
# the fleet's machines, every half minute (boot/boot.sh): a machine that dies
# without a word is off the list all the same, and nothing else has to run for it.
locals {
  members = "members.${aws_route53_zone.members.name}"
}

resource "aws_route53_zone" "members" {
  name          = "${var.name}.internal"
  comment       = "Members of the fleet ${var.name}"
  force_destroy = true # the record is not in the state

  vpc {
    vpc_id = var.vpc_id
  }

  tags = local.tags
}
