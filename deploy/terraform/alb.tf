resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  internal           = var.internal
  subnets            = var.public_subnet_ids
  security_groups    = [aws_security_group.alb.id]

  idle_timeout = var.idle_timeout
  enable_http2 = true
  # Names that are not letters, digits and hyphens are how requests are smuggled
  # past a balancer; no client of the protocols that dsproxy knows sends any.
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "defensive"
  enable_deletion_protection = var.deletion_protection

  dynamic "access_logs" {
    for_each = var.access_logs_bucket == null ? [] : [var.access_logs_bucket]
    content {
      bucket  = access_logs.value
      prefix  = var.name
      enabled = true
    }
  }

  tags = local.tags
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"
    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }

  tags = local.tags
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = var.ssl_policy
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.proxy.arn
  }

  tags = local.tags
}

# Clients reach port 8080 only. The health check goes to the admin port, which has
# no listener here and which the security groups open to the balancer alone, so
# metrics and drain endpoints are out of the world's reach.
resource "aws_lb_target_group" "proxy" {
  name             = "${var.name}-proxy"
  vpc_id           = var.vpc_id
  port             = local.port_proxy
  protocol         = "HTTP"
  protocol_version = "HTTP1" # HTTP2 would lose WebSocket upgrades
  target_type      = "instance"

  # Long-lived connections: the proxy with the fewest gets the next one.
  load_balancing_algorithm_type = "least_outstanding_requests"
  deregistration_delay          = local.deregistration_delay

  # Sessions are dsproxy's business; any proxy can serve any request.
  stickiness {
    enabled = false
    type    = "lb_cookie"
  }

  health_check {
    protocol            = "HTTP"
    port                = tostring(local.port_ready)
    path                = "/readyz"
    matcher             = "200"
    interval            = 5
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  tags = local.tags
}
