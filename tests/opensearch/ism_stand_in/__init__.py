"""A stand-in for a cluster with ISM: it answers as a recorded OpenSearch 3.4.0 did, keeps state, and has its own time.

For tests only, as the plugin can't be had here. test_ism_recordings.py replays the recordings on it.
"""

from .server import IsmStandIn

__all__ = ["IsmStandIn"]
