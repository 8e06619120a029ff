"""MQTT: connections to brokers, for the source of messages and for the sink of decisions and events.

Rule of this folder: what paho-mqtt's thread finds out reaches the rest as calls on the event loop, in order,
and never as an exception. Only `link`, and what imports it, needs paho-mqtt, and is itself imported late.
"""
