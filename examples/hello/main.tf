# The smallest configuration worth watching: it makes tea, one step after the other, on the server.
#
# `make demo` runs it.  By hand, with a Stateroom on this machine:
#
#   eval "$(stateroom env)"
#   terraform init -backend-config=local.tfbackend
#   terraform apply

terraform {
  required_version = ">= 1.5"

  # Where this runs is said by the file given to `init`; see local.tfbackend.
  backend "remote" {}
}

variable "guest" {
  description = "Who the tea is for."
  type        = string
  default     = "world"
}

locals {
  # Made anew by every plan, so that there is always something to see.
  asked_at = plantimestamp()
}

resource "terraform_data" "kettle" {
  triggers_replace = local.asked_at
  input            = "boiled at ${formatdate("hh:mm:ss", local.asked_at)} UTC"

  provisioner "local-exec" {
    command = "echo 'Filling the kettle.'; sleep 1; echo 'It boils.'"
  }
}

resource "terraform_data" "tea" {
  triggers_replace = terraform_data.kettle.id
  input            = "Darjeeling"

  provisioner "local-exec" {
    command = "for minute in 1 2 3; do echo \"Minute $minute: the tea draws.\"; sleep 0.7; done"
  }
}

resource "terraform_data" "cup" {
  triggers_replace = terraform_data.tea.id
  input            = "a cup of ${terraform_data.tea.input} for ${var.guest}"

  provisioner "local-exec" {
    command = "echo 'Poured.'"
  }
}

output "greeting" {
  value = "Hello, ${var.guest}!"
}

output "served" {
  description = "What came out of it."
  value       = "${terraform_data.cup.output}, kettle ${terraform_data.kettle.output}"
}
