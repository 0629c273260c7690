"""Commands that run in processes of their own, wait for their turn on a device, and outlive whoever asked for them."""
