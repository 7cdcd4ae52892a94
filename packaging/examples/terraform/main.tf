# The least rights that Ridgeline needs in AWS. An agent needs none: instance id, type, zone and tags come from the
# metadata service (instance_metadata_tags = "enabled" in the launch template shows it the tags).

variable "namespace" {
  description = "namespace under [cloudwatch] in collector.toml"
  type        = string
  default     = "Ridgeline"
}

variable "token_parameter" {
  description = "name of the SSM parameter that holds the enrolment token"
  type        = string
  default     = "/ridgeline/enroll-token"
}

variable "reads_aws_metrics" {
  description = "whether collector.toml has [[aws_metrics]]"
  type        = bool
  default     = false
}

variable "sns_topic_arns" {
  description = "topics of the targets of type sns in collector.toml"
  type        = list(string)
  default     = []
}

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

data "aws_iam_policy_document" "ec2" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

# The collector's host: may write metrics into one namespace and, where that is configured, read metrics and tell topics.
resource "aws_iam_role" "collector" {
  name               = "ridgeline-collector"
  assume_role_policy = data.aws_iam_policy_document.ec2.json
}

data "aws_iam_policy_document" "collector" {
  statement {
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # the action knows no resources; the namespace is what can be limited
    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [var.namespace]
    }
  }
  dynamic "statement" {
    for_each = var.reads_aws_metrics ? [1] : []
    content {
      actions   = ["cloudwatch:GetMetricData"]
      resources = ["*"] # the action knows neither resources nor namespaces
    }
  }
  dynamic "statement" {
    for_each = length(var.sns_topic_arns) > 0 ? [1] : []
    content {
      actions   = ["sns:Publish"]
      resources = var.sns_topic_arns
    }
  }
}

resource "aws_iam_role_policy" "collector" {
  name   = "metrics"
  role   = aws_iam_role.collector.id
  policy = data.aws_iam_policy_document.collector.json
}

resource "aws_iam_instance_profile" "collector" {
  name = "ridgeline-collector"
  role = aws_iam_role.collector.name
}

# The monitored hosts: may read the token at their first boot. Attach it to the role they have.
resource "aws_iam_policy" "enroll" {
  name = "ridgeline-enroll"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "ssm:GetParameter"
      Resource = "arn:aws:ssm:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:parameter${var.token_parameter}"
    }]
  })
}
