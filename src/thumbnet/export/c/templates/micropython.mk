# For MicroPython's make: USER_C_MODULES=<the folder of this export>: its folder micropython is found there
THUMBNET_DIR := $$(USERMOD_DIR)
SRC_USERMOD_C += $$(THUMBNET_DIR)/modthumbnet.c $$(THUMBNET_DIR)/../$name.c
CFLAGS_USERMOD += -I$$(THUMBNET_DIR)/..
