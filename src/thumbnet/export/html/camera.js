// The camera: asked for when its button is pressed, its frames handed on a few times a second until it is stopped.
const ThumbnetCamera = ((document, navigator) => {
  const PAUSE_MS = 200;
  const WIDTH = 640; // pixels that the camera is asked for
  const REASONS = {
    NotAllowedError: "The camera was not allowed. Allow it for this page in the browser's settings, or choose a picture.",
    NotFoundError: "There is no camera here.",
    NotReadableError: "The camera is used by another program.",
  };

  const isThere = () => Boolean(navigator.mediaDevices?.getUserMedia);

  async function hasCamera() {
    if (!isThere()) return false;
    try {
      const devices = await navigator.mediaDevices.enumerateDevices();
      return devices.some((device) => device.kind === "videoinput");
    } catch {
      return false;
    }
  }

  function explain(error) {
    return REASONS[error.name] ?? `The camera cannot be used: ${error.message}`;
  }

  /** `onFrame(imageData)` is awaited; `onEnd()` is called once the camera is off, however that came about. */
  async function start(video, { onFrame, onEnd }) {
    const wanted = { audio: false, video: { facingMode: "environment", width: { ideal: WIDTH } } };
    const stream = await navigator.mediaDevices.getUserMedia(wanted);
    const canvas = document.createElement("canvas");
    let isOn = true;
    const stop = () => {
      if (!isOn) return;
      isOn = false;
      for (const track of stream.getTracks()) track.stop();
      video.srcObject = null;
      onEnd();
    };
    for (const track of stream.getTracks()) track.addEventListener("ended", stop);
    video.srcObject = stream;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const frame = () => {
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      context.drawImage(video, 0, 0);
      return context.getImageData(0, 0, canvas.width, canvas.height);
    };
    const loop = async () => {
      while (isOn) {
        if (!document.hidden && video.videoWidth > 0) await onFrame(frame());
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    };
    try {
      await video.play();
    } catch (error) {
      stop();
      throw error;
    }
    loop();
    return { stop, frame };
  }

  return { hasCamera, explain, start };
})(document, navigator);
