"""Processes of an orchestrator or of the sandbox on this machine: started, watched, killed, never left behind.

Standard library only, as its users drive environments from outside.
"""
