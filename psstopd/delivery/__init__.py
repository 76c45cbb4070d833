"""From the journal to InfluxDB: line protocol, sinks, and the shipper that keeps what was not accepted."""
