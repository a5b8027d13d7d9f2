# docker build --tag nas .
# docker run --rm --volume "$PWD/mlruns:/work/mlruns" nas search --space xception_like
FROM python:3.11-slim
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY nas nas
COPY search_spaces search_spaces
RUN pip install --no-cache-dir --constraint constraints.txt '.[onnx]'
RUN useradd --create-home nas && mkdir --parents /work/mlruns && chown --recursive nas /work
USER nas
WORKDIR /work
VOLUME /work/mlruns
ENTRYPOINT ["nas"]
CMD ["--help"]
