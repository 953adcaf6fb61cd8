"""The bytes that come in and go out: validation, predictions, alerts, quarantined records."""
