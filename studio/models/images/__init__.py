"""Image generators: noise processes, the families of base models, and small text-conditioned networks of the studio's own."""
