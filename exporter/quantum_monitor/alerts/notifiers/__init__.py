"""Notifiers tell people of alerts without Prometheus: Slack, e-mail, Alertmanager, a webhook, the log."""
