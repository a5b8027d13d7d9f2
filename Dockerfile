# docker build --tag nas .
# docker run --rm --volume "$PWD/mlruns:/data/mlruns" nas search --space xception_like
FROM python:3.11-slim
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY nas nas
COPY search_spaces search_spaces
RUN pip install --no-cache-dir --constraint constraints.txt '.[onnx]'
RUN useradd --create-home nas && mkdir --parents /data/mlruns && chown --recursive nas /data
USER nas
WORKDIR /data
VOLUME /data/mlruns
ENTRYPOINT ["nas"]
CMD ["--help"]
