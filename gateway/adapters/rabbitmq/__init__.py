"""The door and the channel *queue*: RabbitMQ carries, the ledger remembers."""
