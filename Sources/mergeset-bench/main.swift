print("mergeset-bench")
