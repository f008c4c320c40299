"""The groups of options in `qchat serve --help`: heading to names of parameters, in their order.

An option that stands in no group is listed after them.
"""

from ..i18n import _

GROUPS = {
    _("Model and memory"): (
        "model_option",
        "served_model_name",
        "max_model_len",
        "tensor_parallel_size",
        "gpu_memory_utilization",
        "gpus",
        "yarn",
        "force",
    ),
    _("Address and access"): (
        "host",
        "port",
        "key_file",
        "generate_key",
        "allowed_origins",
        "allowed_hosts",
        "allowed_routes",
    ),
    _("Limits"): (
        "max_running",
        "requests_per_minute",
        "tokens_per_minute",
        "max_running_total",
        "requests_per_minute_total",
        "tokens_per_minute_total",
        "max_n",
        "max_body_bytes",
        "priority",
    ),
    _("Batch API"): (
        "batches",
        "batch_max_lines",
        "batch_max_file_bytes",
        "batch_quota_bytes",
        "batch_retention",
        "batch_max_running",
        "media_domains",
    ),
    _("Running"): (
        "name",
        "detach",
        "no_wait",
        "stall_timeout",
        "idle_stop",
        "print_command",
    ),
    _("Deployment"): ("deploy_folder", "domain", "workers"),
}
