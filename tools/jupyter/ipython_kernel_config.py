"""What every kernel of this installation reads when it starts.

A kernel tells JupyterLab its Python version, and JupyterLab writes that into the notebook: a lesson that was
only opened would count as changed. So the kernel leaves it out, as the lessons do.
"""

from ipykernel.ipkernel import IPythonKernel

IPythonKernel.language_info = {
    name: value for name, value in IPythonKernel.language_info.items() if name != "version"
}
