locals {
  alarms = var.alarm_topic_arn == null ? {} : {
    unhealthy-proxies = {
      about      = "A proxy fails its health check for five minutes."
      namespace  = "AWS/ApplicationELB"
      metric     = "UnHealthyHostCount"
      statistic  = "Maximum"
      threshold  = 0
      dimensions = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.proxy.arn_suffix }
    }
    proxy-errors = {
      about      = "The proxies answer with 5xx: more than 50 a minute."
      namespace  = "AWS/ApplicationELB"
      metric     = "HTTPCode_Target_5XX_Count"
      statistic  = "Sum"
      threshold  = 50
      dimensions = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.proxy.arn_suffix }
    }
    balancer-errors = {
      about      = "The balancer itself answers with 5xx: more than 50 a minute."
      namespace  = "AWS/ApplicationELB"
      metric     = "HTTPCode_ELB_5XX_Count"
      statistic  = "Sum"
      threshold  = 50
      dimensions = { LoadBalancer = aws_lb.this.arn_suffix }
    }
    redis-memory = {
      about      = "Redis is nearly full; at 100 % it refuses writes."
      namespace  = "AWS/ElastiCache"
      metric     = "DatabaseMemoryUsagePercentage"
      statistic  = "Maximum"
      threshold  = 75
      dimensions = { CacheClusterId = "${var.name}-001" }
    }
    redis-cpu = {
      about      = "Redis' one thread is nearly busy all the time."
      namespace  = "AWS/ElastiCache"
      metric     = "EngineCPUUtilization"
      statistic  = "Average"
      threshold  = 80
      dimensions = { CacheClusterId = "${var.name}-001" }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.about
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  dimensions          = each.value.dimensions
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
  tags                = local.tags
}
