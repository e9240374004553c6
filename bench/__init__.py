"""How fast Stateroom is, each figure beside a comparison measured in the same run."""
