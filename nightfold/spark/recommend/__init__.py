"""The task `recommend`: for every user a list of items. One module per stage (features, train, evaluate, score), and their parts."""
