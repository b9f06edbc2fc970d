"""The wire of the Cloud API as lenient structs: sends, responses, webhooks, signature, Graph errors."""
